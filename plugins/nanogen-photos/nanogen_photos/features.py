"""The features `mobilenet-v2`: the mean of an inner feature map of MobileNetV2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nanogen_fidelity.extractor import Extractor
from nanogen_files.hashing import file_hash
from nanogen_files.images import resized
from nanogen_photos.config import MobileNetConfig
from nanogen_photos.mobilenet import WIDTH, MobileNetV2
from nanogen_photos.mobilenet_weights import load, weights_file


class MobileNetFeatures(Extractor):
    """576 features of MobileNetV2, for Fréchet and kernel distances: the mean of `block_13_expand_relu`."""

    width = WIDTH

    def __init__(self, config: MobileNetConfig):
        super().__init__()
        self.config = config

    @cached_property
    def file(self) -> Path:
        """The file with the weights. Raises DataError if it is missing."""
        return weights_file(self.config.weights)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        network = {"network": "mobilenet-v2", "layer": "block_13_expand_relu", "weights": file_hash(self.file)}
        return {**network, "size": self.config.side, "resize": "bicubic antialias"}

    def load(self) -> MobileNetV2:
        return load(self.file)

    def forward_features(self, network: nn.Module, pixels: Tensor) -> Sequence[Tensor]:
        return [network(resized(pixels, self.config.side) / 127.5 - 1)]
