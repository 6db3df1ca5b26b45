"""A small encoder that comes with nanogen-openmoji: what its classifier of drawings sees."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanogen_core.errors import Incompatible
from nanogen_openmoji.classifier import SIZE, Classifier, resized  # type: ignore[import-untyped, unused-ignore]
from nanogen_rae.families import HALF
from nanogen_rae.protocol import Encoded

LAYERS = 4  # of the body: a linear map makes 18.1 dB of these tokens, and 16.6 dB of those two layers later
GRID = 8


class OpenMojiEncoder:
    """Tokens of the frozen classifier, each normalised: 8 x 8 of 96 numbers, whatever the image's size."""

    width = 96
    has_class_token = False
    mean, std = HALF

    def __init__(self) -> None:
        self._device = torch.device("cpu")

    def grid(self, image_size: int) -> int:
        """8. Raises Incompatible for a size that is no multiple of 8."""
        if image_size % GRID or image_size <= 0:
            raise Incompatible(f"The encoder openmoji-classifier takes multiples of {GRID} pixels, not {image_size}.")
        return GRID

    def to(self, device: torch.device | str) -> OpenMojiEncoder:
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Images [B, 3, H, H] in [-1, 1] -> tokens [B, 64, 96]."""
        return self.forward_features(images)

    def forward_features(self, images: Tensor) -> Encoded:
        """The same with the gradient of the images."""
        cells: Tensor = self._body.to(self._device)(resized(images.float(), SIZE))  # [B, 96, 8, 8]
        return Encoded(F.layer_norm(cells.flatten(2).mT, (self.width,)), None)

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """The tensors that the tokens depend on."""
        return dict(self._body.state_dict())

    @cached_property
    def _body(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):  # building draws initial weights, which the file then replaces
            body: nn.Module = Classifier.load().body[:LAYERS]
        return body
