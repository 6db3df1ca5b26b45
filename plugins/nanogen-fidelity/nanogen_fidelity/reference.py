"""References of metrics: moments, features or images, in an `.npz` file or a folder."""

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
from nanogen_fidelity.distances.frechet import RECOMPUTE, Moments
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_files import json_files
from nanogen_files.hashing import file_hash

MOMENTS = (("mu", "sigma"), ("ref_mu", "ref_sigma"))  # array names of torch-fidelity and ADM, and of FDr6
ROWS, COUNT, SPACE = "features", "count", "space"  # further arrays that `statistics.compute_statistics` writes
BATCH = 64  # images per batch


class Reference:
    """A reference file or folder, opened on first use."""

    def __init__(self, path: str):
        """Raises DataError if `path` does not exist."""
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise DataError(
                f"The reference {self.path} does not exist. Check its path. It must be an .npz file or a folder of"
                " images."
            )

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the file, or of the SHA-256 hashes of the folder's image files in natural order."""
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
        """Return the moments in a feature space: those stored in the file, or computed from its features or images.

        Raises:
            DataError: The reference has none of these, has them for another space, or has fewer than two images.
        """
        for mean, covariance in MOMENTS:
            if {mean, covariance} <= self.arrays:
                return self._stored(mean, covariance, features)
        running = RunningMoments()
        for indices, rows in self._batches(features):
            running.add(indices, rows)
        return running.moments()

    def rows(self, features: Features) -> Tensor:
        """Return the features [N, D] float32 of all images.

        Raises:
            DataError: The file has neither features nor images, or features of another space.
        """
        return torch.cat([rows for _, rows in self._batches(features)])

    def images(self) -> Folder | Archive:
        """Return the images. Raises DataError if there are none."""
        if self.path.is_dir():
            return Folder(self.path)
        if IMAGES not in self.arrays:
            raise DataError(
                f"{self.path} has no images. Its arrays are: {listing(self.arrays)}. Use a folder of images, or an .npz"
                f" with the array {IMAGES!r}."
            )
        return Archive(self.path)

    def _batches(self, features: Features) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield indices [B] and features [B, D]."""
        if ROWS in self.arrays:
            rows = torch.from_numpy(self._numbers(ROWS, np.float32))
            if rows.ndim != 2 or not len(rows):
                raise DataError(
                    f"{self.path}: the array {ROWS!r} has the shape {list(rows.shape)}, expected [N, D] with N > 0. "
                    f"{RECOMPUTE}"
                )
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
            raise DataError(
                f"{self.path}: {mean} {list(mu.shape)} and {covariance} {list(sigma.shape)} do not match, expected [D] "
                f"and [D, D]. {RECOMPUTE}"
            )
        self._check_space(features, len(mu))
        count = self._count() if COUNT in self.arrays else None
        return Moments(torch.from_numpy(mu), torch.from_numpy(sigma), count)

    def _check_space(self, features: Features, width: int) -> None:
        """Raise DataError for numbers of another feature space."""
        if width != features.width:
            raise DataError(
                f"{self.path} has {width} features, but the feature space of this metric has {features.width}. Use a "
                "reference that was made with the same `features`."
            )
        name = f"{SPACE!r} in {self.path}"
        made = json_files.parse(str(self._array(SPACE)), name) if SPACE in self.arrays else None
        if made is not None and made != plain(features):
            raise DataError(
                f"{self.path} was made in the feature space {shown(made, 500)}, which is not that of this metric "
                f"({shown(plain(features), 500)}). Write the file again for this metric, or set the metric's"
                " `features` to those of the file."
            )

    def _count(self) -> int:
        found = self._numbers(COUNT)
        if found.size != 1 or not 1 <= float(found.item()) < 1e15 or found.item() != int(found.item()):
            raise DataError(f"{self.path}: the array {COUNT!r} is not a number of images. {RECOMPUTE}")
        return int(found.item())

    def _numbers(self, name: str, kind: Any = np.float64) -> Any:
        """Read an array as numbers of type `kind`. Raises DataError for an array of another type."""
        found = self._array(name)
        if not (np.issubdtype(found.dtype, np.floating) or np.issubdtype(found.dtype, np.integer)):
            raise DataError(
                f"{self.path}: the array {name!r} has the type {found.dtype}, expected numbers. {RECOMPUTE}"
            )
        return found.astype(kind)

    def _array(self, name: str) -> Any:
        with reading(self.path, f"an .npz file at {name!r}"), zipfile.ZipFile(self.path) as archive:
            found = array(archive, name)
        if np.issubdtype(found.dtype, np.floating) and not np.isfinite(found).all():
            raise DataError(f"{self.path}: the array {name!r} contains NaN or infinite values. {RECOMPUTE}")
        return found


def plain(features: Features) -> Mapping[str, Any]:
    """Return the settings of a feature space after a round trip through JSON, which turns tuples into lists."""
    settings: Mapping[str, Any] = json.loads(json.dumps(dict(features.settings)))
    return settings
