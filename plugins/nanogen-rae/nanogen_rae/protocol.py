"""Protocol of vision encoders, which RAEs and alignment losses use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Encoded(NamedTuple):
    """Output of a vision encoder, float32."""

    tokens: Tensor  # [B, N, D], N = grid x grid, row-major
    class_token: Tensor | None  # [B, D]; None: the encoder has no class token


class VisionEncoder(Protocol):
    """A frozen network. Only `weights`, `encode` and `forward_features` load its weights.

    Attributes:
        width: Width D of a token.
        has_class_token: Whether the encoder has a class token.
        mean, std: Normalisation of images in [0, 1] for the network.
    """

    width: int
    has_class_token: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def grid(self, image_size: int) -> int:
        """Return the number of tokens along one side of an image. Raises Incompatible for an unsupported size."""

    def to(self, device: torch.device | str) -> VisionEncoder:
        """Move the network to a device. Returns the encoder itself."""

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """Return the tensors that the tokens of images of this size depend on. Raises DataError if they are missing."""

    def encode(self, images: Tensor) -> Encoded:
        """Encode images [B, 3, H, H] in [-1, 1], without gradient. Raises DataError if the weights are missing."""

    def forward_features(self, images: Tensor) -> Encoded:
        """Compute the outputs of `encode` with a gradient to the images, for losses on the tokens."""
