"""The features `efficientnet-lite0`: the inputs of the network's last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nanogen_efficientnet.config import FeaturesConfig
from nanogen_efficientnet.network import EfficientNetLite0
from nanogen_efficientnet.stages import HEAD
from nanogen_efficientnet.weights import load, weights_file
from nanogen_fidelity.extractor import Extractor
from nanogen_files.hashing import file_hash
from nanogen_files.images import resized


class EfficientNetFeatures(Extractor):
    """1280 features of EfficientNet-Lite0, for Fréchet and kernel distances."""

    width = HEAD

    def __init__(self, config: FeaturesConfig):
        super().__init__()
        self.config = config

    @cached_property
    def file(self) -> Path:
        """The file of weights. Raises DataError if it is missing."""
        return weights_file(self.config.weights)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        network = {"network": "efficientnet-lite0", "weights": file_hash(self.file)}
        return {**network, "size": self.config.side, "resize": "bicubic antialias"}

    def load(self) -> EfficientNetLite0:
        return load(self.file)

    def forward_features(self, network: nn.Module, pixels: Tensor) -> Sequence[Tensor]:
        assert isinstance(network, EfficientNetLite0)
        return [network.pooled((resized(pixels, self.config.side) - 127) / 128)]
