"""The vision encoder `efficientnet-lite0`: the output of an inner block as a grid of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_efficientnet.config import EncoderConfig
from nanogen_efficientnet.network import EfficientNetLite0
from nanogen_efficientnet.stages import OUTPUTS
from nanogen_efficientnet.weights import find_weights, load, weights_file
from nanogen_rae.families import Input
from nanogen_rae.pixels import prepared
from nanogen_rae.protocol import Encoded

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # of images in [0, 1], as TensorFlow's network has been trained
INPUT = Input("bicubic", (MEAN, STD), antialias=True)


class EfficientNetEncoder:
    """Tokens from a block of the frozen network. The weights are read on first use.

    Args:
        config: Options.

    Example:
        >>> encoder = EfficientNetEncoder(EncoderConfig())
        >>> encoder.encode(images).tokens  # images [B, 3, 64, 64] in [-1, 1] -> [B, 64, 80]
    """

    has_class_token = False
    mean, std = MEAN, STD

    def __init__(self, config: EncoderConfig):
        self.config = config
        self.width, self._stride = OUTPUTS[config.block - 1]
        self._device = torch.device("cpu")

    def grid(self, image_size: int) -> int:
        """Return the number of tokens along one side. Raises Incompatible if `patch` does not divide the image size."""
        patch = self.config.patch
        if image_size % patch or image_size <= 0:
            near = max(patch, image_size // patch * patch)
            raise Incompatible(
                f"The image size must be a multiple of {patch} for the encoder 'efficientnet-lite0', got {image_size}."
                f" Set `image_size` to {near} or {near + patch}, or change the encoder's option `patch`."
            )
        return image_size // patch

    def to(self, device: torch.device | str) -> EfficientNetEncoder:
        """Move the network to a device. Returns the encoder itself."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Map images [B, 3, H, H] in [-1, 1] to tokens [B, N, D], without gradient. There is no class token.

        Raises DataError if the weights are missing.
        """
        return self.forward_features(images)

    def forward_features(self, images: Tensor) -> Encoded:
        """Compute the outputs of `encode` with a gradient to the images."""
        network, side = self._network.to(self._device), self.grid(images.shape[-1]) * self._stride
        tokens = network.maps(prepared(images, side, INPUT), self.config.block).flatten(2).mT.float()
        return Encoded(F.layer_norm(tokens, (self.width,)) if self.config.norm == "plain" else tokens, None)

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """Return the tensors that the tokens depend on. Raises DataError if the weights are missing."""
        used = ("stem.", *(f"blocks.{number}." for number in range(self.config.block)))
        return {name: tensor for name, tensor in self._network.state_dict().items() if name.startswith(used)}

    def files(self) -> Sequence[Path]:
        """Return the file of weights, or an empty list if it is missing."""
        file = find_weights(self.config.weights)
        return [] if file is None else [file]

    @cached_property
    def _network(self) -> EfficientNetLite0:
        return load(weights_file(self.config.weights))
