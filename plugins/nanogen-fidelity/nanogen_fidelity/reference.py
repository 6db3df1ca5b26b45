"""What images are compared with: moments, features or images, from an `.npz` or a folder, with their hash."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanogen_core.errors import DataError, listing, shown
from nanogen_eval.protocols import Features
from nanogen_eval.sources.archive import IMAGES, Archive, array, reading
from nanogen_eval.sources.folder import Folder, image_files
from nanogen_fidelity.distances.frechet import Moments
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_files import json_files
from nanogen_files.hashing import file_hash

MOMENTS = (("mu", "sigma"), ("ref_mu", "ref_sigma"))  # as torch-fidelity and ADM have them, and as FDr6 does
ROWS, COUNT, SPACE = "features", "count", "space"  # beside them, in files of `statistics.compute_statistics`
BATCH = 64  # images at a time


class Reference:
    """A file or folder, opened when it is needed. Raises DataError at once where there is none."""

    def __init__(self, path: str):
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise DataError(f"The reference {self.path} does not exist: name an .npz file or a folder of images.")

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the file; of a folder, of its images' bytes in order."""
        if self.path.is_file():
            return file_hash(self.path)
        found = sha256()
        for file in image_files(self.path):
            found.update(bytes.fromhex(file_hash(file)))
        return found.hexdigest()

    @cached_property
    def arrays(self) -> frozenset[str]:
        """The names of the arrays in the file; empty for a folder."""
        if self.path.is_dir():
            return frozenset()
        with reading(self.path, "an .npz file"), zipfile.ZipFile(self.path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())

    def moments(self, features: Features) -> Moments:
        """Of its images in this space: as they stand in the file, or of its features, or of its images."""
        for mean, covariance in MOMENTS:
            if {mean, covariance} <= self.arrays:
                return self._stored(mean, covariance, features)
        running = RunningMoments()
        for indices, rows in self._looked_at(features):
            running.add(indices, rows)
        return running.moments()

    def rows(self, features: Features) -> Tensor:
        """The features of its images [N, D] float32. Raises DataError where it holds moments alone."""
        return torch.cat([rows for _, rows in self._looked_at(features)])

    def images(self) -> Folder | Archive:
        """Its images. Raises DataError where it has none."""
        if self.path.is_dir():
            return Folder(self.path)
        if IMAGES not in self.arrays:
            names = listing(self.arrays, empty="nothing")
            raise DataError(f"{self.path} holds {names}: this metric needs images ({IMAGES!r}) or a folder of them.")
        return Archive(self.path)

    def _looked_at(self, features: Features) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices [B] and features [B, D], batch by batch."""
        if ROWS in self.arrays:
            rows = torch.from_numpy(self._numbers(ROWS, np.float32))
            if rows.ndim != 2 or not len(rows):
                raise DataError(f"{self.path}: {ROWS!r} is {list(rows.shape)}, and must be [N, D] with N > 0.")
            self._check_space(features, rows.shape[-1])
            yield torch.arange(len(rows)), rows
            return
        source = self.images()
        count = len(source.requests.indices)
        for batch in source.read(range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)):
            assert batch.images is not None
            yield batch.indices, features(batch.images)

    def _stored(self, mean: str, covariance: str, features: Features) -> Moments:
        mu, sigma = self._numbers(mean), self._numbers(covariance)
        if mu.ndim != 1 or sigma.shape != (*mu.shape, *mu.shape):
            raise DataError(f"{self.path}: {mean} {list(mu.shape)} and {covariance} {list(sigma.shape)} do not fit.")
        self._check_space(features, len(mu))
        count = self._count() if COUNT in self.arrays else None
        return Moments(torch.from_numpy(mu), torch.from_numpy(sigma), count)

    def _check_space(self, features: Features, width: int) -> None:
        """Raises DataError where the numbers are of another space."""
        if width != features.width:
            raise DataError(f"{self.path} is of {width} features, and those of this metric are {features.width}.")
        name = f"{SPACE!r} in {self.path}"
        made = json_files.parse(str(self._array(SPACE)), name) if SPACE in self.arrays else None
        if made is not None and made != plain(features):
            raise DataError(
                f"{self.path} was made in another space ({shown(made, 500)}) than this metric compares in "
                f"({shown(plain(features), 500)}): make it again, or use the same weights."
            )

    def _count(self) -> int:
        found = self._numbers(COUNT)
        if found.size != 1 or not 1 <= float(found.item()) < 1e15 or found.item() != int(found.item()):
            raise DataError(f"{self.path}: {COUNT!r} is no number of images: write it again.")
        return int(found.item())

    def _numbers(self, name: str, kind: Any = np.float64) -> Any:
        """An array of numbers, as this kind of them. Raises DataError for one of something else."""
        found = self._array(name)
        if not (np.issubdtype(found.dtype, np.floating) or np.issubdtype(found.dtype, np.integer)):
            raise DataError(f"{self.path}: {name!r} is of type {found.dtype}, and must be of numbers.")
        return found.astype(kind)

    def _array(self, name: str) -> Any:
        with reading(self.path, f"an .npz file at {name!r}"), zipfile.ZipFile(self.path) as archive:
            found = array(archive, name)
        if np.issubdtype(found.dtype, np.floating) and not np.isfinite(found).all():
            raise DataError(f"{self.path}: {name!r} holds numbers that are not finite: write it again.")
        return found


def plain(features: Features) -> Mapping[str, Any]:
    """The settings of a space as they come back from JSON."""
    settings: Mapping[str, Any] = json.loads(json.dumps(dict(features.settings)))
    return settings
