"""The metrics `psnr`, `ssim` and `lpips`, which compare each image with its original."""

from __future__ import annotations

from abc import abstractmethod
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
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_eval.sources import Source
from nanogen_eval.sources.archive import Archive
from nanogen_eval.sources.folder import Folder
from nanogen_eval.sources.reconstructed import ORIGINAL, Reconstructed
from nanogen_fidelity.config import LpipsConfig, PairedConfig, PsnrConfig
from nanogen_fidelity.distances import psnr_ssim
from nanogen_fidelity.reference import Reference
from nanogen_files.errors import counted
from nanogen_files.hashing import file_hash
from nanogen_files.images import to_uint8


class Paired(ResampledRowMetric):
    """Base of metrics that store one number per image and average it. Subclasses set `name` and implement `compare`."""

    name: str

    def __init__(self, config: PairedConfig):
        super().__init__()
        self._reference = None if config.reference is None else Reference(config.reference)
        self._original_rows: list[int] | None = None  # image index -> row of its original; None: the index itself

    @abstractmethod
    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        """Compare images with originals, both [B, 3, H, W] in [-1, 1]. Returns a score [B] per pair."""

    def compare_with(self, source: Source) -> None:
        """Pair the images of a source with the originals of the reference.

        Reconstructions need no pairing, because they come with their originals.

        Raises:
            DataError: An image has no original, or images and originals that are paired by order differ in number.
        """
        paired = isinstance(source, Reconstructed) or self._reference is None
        self._original_rows = None if paired else pairs(source, self._source, self.name)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"reference": None if self._reference is None else self._reference.digest}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Compare images with their originals. Raises DataError for a missing original, or one of another size."""
        originals = self._originals(batch).to(images.device)
        if originals.shape != images.shape:
            ours, theirs = list(images.shape[1:]), list(originals.shape[1:])
            raise DataError(f"{self.name} compares images {ours} with originals {theirs}. Use images of one size.")
        return {self.name: self.compare(images, originals).double()}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {self.name: float(rows[self.name].mean())}

    def _originals(self, batch: Batch) -> Tensor:
        if ORIGINAL in batch.extras:
            return batch.extras[ORIGINAL]
        if self._reference is None:
            raise DataError(f"{self.name} needs the original images. Set its option `reference`, or use --reconstruct.")
        indices, known = batch.indices.tolist(), self._original_rows
        rows = indices if known is None else [known[index] for index in indices]
        distinct = sorted(set(rows))
        count = len(self._source.requests.indices)
        if distinct[-1] >= count:
            raise DataError(
                f"{self.name}: the image with index {distinct[-1]} has no original. The reference has"
                f" {counted(count, 'image')}, and indices start at 0. Add the missing ones, or evaluate fewer images."
            )
        originals = self._source.read(range(row, row + 1) for row in distinct)
        by_row = {row: _image(original) for row, original in zip(distinct, originals, strict=True)}
        return torch.cat([by_row[row] for row in rows])

    @cached_property
    def _source(self) -> Folder | Archive:
        assert self._reference is not None
        return self._reference.images()


def _image(original: Batch) -> Tensor:
    assert original.images is not None
    return original.images


class Psnr(Paired):
    """`psnr`: the peak signal-to-noise ratio in dB, at most 100."""

    name = "psnr"
    score_names = (name,)
    higher_is_better = True

    def __init__(self, config: PsnrConfig):
        super().__init__(config)
        self._unit_range = psnr_ssim.published_unit_range if config.dark_quirk else psnr_ssim.unit_range
        self._quirk = config.dark_quirk

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "dark_quirk": self._quirk}

    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        single = zip(torch.split(to_uint8(images), 1), torch.split(to_uint8(originals), 1), strict=True)
        return torch.cat([psnr_ssim.psnr(self._unit_range(a), self._unit_range(b)) for a, b in single])


class Ssim(Paired):
    """`ssim`: structural similarity (Wang et al., 2004), 1 for equal images."""

    name = "ssim"
    score_names = (name,)
    higher_is_better = True

    def compare(self, images: Tensor, originals: Tensor) -> Tensor:
        ours, theirs = (psnr_ssim.unit_range(to_uint8(batch)) for batch in (images, originals))
        return psnr_ssim.ssim(ours, theirs)


class Lpips(Paired):
    """`lpips`: the perceptual distance of VGG16 features (arXiv 1801.03924)."""

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
        distances: Tensor = self._network.to(images.device)(images, originals)  # [B]
        return distances
