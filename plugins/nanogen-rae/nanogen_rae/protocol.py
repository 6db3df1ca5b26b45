"""What an encoder that sees images has to be: RAE and alignment losses know no more of it than this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Encoded(NamedTuple):
    """The answer of a vision encoder, float32."""

    tokens: Tensor  # [B, N, D], N = grid x grid, row-major
    class_token: Tensor | None  # [B, D], where the encoder has one


class VisionEncoder(Protocol):
    """A frozen network. All but `encode` and `look` must be known without its weights."""

    width: int  # D
    has_class_token: bool
    mean: tuple[float, float, float]  # of the images in [0, 1] that the network was trained on
    std: tuple[float, float, float]

    def grid(self, image_size: int) -> int:
        """Tokens along one side of an `image_size` x `image_size` image. Raises Incompatible."""

    def to(self, device: torch.device | str) -> VisionEncoder:
        """Where images are encoded from now on; returns the encoder itself."""

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """The tensors that the tokens of images of this size depend on. Raises DataError where they are missing."""

    def encode(self, images: Tensor) -> Encoded:
        """Images [B, 3, H, H] in [-1, 1] -> tokens, without gradient. Raises DataError where weights are missing."""

    def forward_features(self, images: Tensor) -> Encoded:
        """The same, with the gradient of the images: for losses that compare what the encoder sees."""
