"""`psnr`, `ssim` and `lpips`: each image beside its original."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nanogen_align.vgg import PerceptualDistance
from nanogen_align.vgg_files import weight_files
from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_eval.pairing import pairs
from nanogen_eval.sources import Source
from nanogen_eval.sources.reconstructed import ORIGINAL, Reconstructed
from nanogen_fidelity.config import LpipsConfig, PairedConfig, PsnrConfig
from nanogen_fidelity.distances import psnr_ssim as likeness
from nanogen_fidelity.metrics.kept import Resampling
from nanogen_fidelity.reference import Reference
from nanogen_files.hashing import file_hash
from nanogen_files.images import to_uint8


class Paired(Resampling):
    """Keeps one number an image; the score is their mean. Subclasses say `name` and `compare`."""

    name: str

    def __init__(self, config: PairedConfig):
        super().__init__()
        self._reference = None if config.reference is None else Reference(config.reference)
        self._rows_of: list[int] | None = None  # of each image, the row of its original; None: that of its index

    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        """Two batches [B, 3, H, W] in [-1, 1] -> [B]."""
        raise NotImplementedError

    def compare_with(self, source: Source) -> None:
        """Pairs the images with the originals of the reference. Raises DataError where one has none."""
        brought = isinstance(source, Reconstructed)
        self._rows_of = None if brought or self._reference is None else pairs(source, self._source, self.name)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"reference": None if self._reference is None else self._reference.digest}

    def see(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Raises DataError where the images have no originals, or such of another size."""
        originals = self._originals(batch).to(images.device)
        if originals.shape != images.shape:
            ours, theirs = list(images.shape[1:]), list(originals.shape[1:])
            raise DataError(f"{self.name} compares images {ours} with originals {theirs}: both must have one size.")
        return {self.name: self.compare(images, originals).double()}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {self.name: float(rows[self.name].mean())}

    def _originals(self, batch: Batch) -> Tensor:
        if ORIGINAL in batch.extras:
            return batch.extras[ORIGINAL]
        if self._reference is None:
            raise DataError(
                f"{self.name} needs the originals: name them by its option `reference`, or use --reconstruct."
            )
        rows = batch.indices.tolist() if self._rows_of is None else [self._rows_of[i] for i in batch.indices.tolist()]
        wanted = sorted(set(rows))
        if wanted[-1] >= len(self._source.requests.indices):
            count = len(self._source.requests.indices)
            raise DataError(f"{self.name}: image {wanted[-1]} has no original, the reference has {count} images.")
        read = self._source.read(range(row, row + 1) for row in wanted)
        found = {row: original.images for row, original in zip(wanted, read, strict=True)}
        return torch.cat([found[row] for row in rows])

    @cached_property
    def _source(self) -> Any:
        assert self._reference is not None
        return self._reference.images()


class Psnr(Paired):
    """`psnr`: in dB, at most 100."""

    name = "psnr"
    score_names = (name,)
    higher_is_better = True

    def __init__(self, config: PsnrConfig):
        super().__init__(config)
        self._unit_range = likeness.published_unit_range if config.dark_quirk else likeness.unit_range
        self._quirk = config.dark_quirk

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "dark_quirk": self._quirk}

    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        pairs = zip(to_uint8(images).split(1), to_uint8(originals).split(1), strict=True)
        return torch.cat([likeness.psnr(self._unit_range(a), self._unit_range(b)) for a, b in pairs])


class Ssim(Paired):
    """`ssim`: 1 for equal images."""

    name = "ssim"
    score_names = (name,)
    higher_is_better = True

    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        ours, theirs = (likeness.unit_range(to_uint8(batch)) for batch in (images, originals))
        return likeness.ssim(ours, theirs)


class Lpips(Paired):
    """`lpips`: on VGG16, by the network of `nanogen-align`."""

    name = "lpips"
    score_names = (name,)
    higher_is_better = False

    def __init__(self, config: LpipsConfig):
        super().__init__(config)
        self._folder = config.folder

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        files = weight_files(self._folder)
        return {**super().settings, "network": "vgg16", "weights": [file_hash(file) for file in files]}

    @cached_property
    def _network(self) -> PerceptualDistance:
        return PerceptualDistance.load(self._folder)

    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        """Distances [B]."""
        distances: Tensor = self._network.to(images.device)(images, originals)
        return distances
