"""Small encoder for laptops: features of the OpenMoji classifier of nanogen-openmoji."""

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

LAYERS = 4  # of the body; a linear decoder reaches 18.1 dB here, and 16.6 dB two layers later
GRID = 8


class OpenMojiEncoder:
    """Layer-normalised features of the frozen classifier: 8 x 8 tokens of width 96.

    The image size must be a multiple of 8.
    """

    width = 96
    has_class_token = False
    mean, std = HALF

    def __init__(self) -> None:
        self._device = torch.device("cpu")

    def grid(self, image_size: int) -> int:
        """Return 8. Raises Incompatible if the image size is not a multiple of 8."""
        if image_size % GRID or image_size <= 0:
            near = max(GRID, image_size // GRID * GRID)
            raise Incompatible(
                f"The image size must be a multiple of {GRID} for the encoder 'openmoji-classifier', got {image_size}."
                f" Set `image_size` to {near} or {near + GRID}."
            )
        return GRID

    def to(self, device: torch.device | str) -> OpenMojiEncoder:
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Map images [B, 3, H, H] in [-1, 1] to tokens [B, 64, 96], without gradient."""
        return self.forward_features(images)

    def forward_features(self, images: Tensor) -> Encoded:
        """Compute the outputs of `encode` with a gradient to the images."""
        cells: Tensor = self._body.to(self._device)(resized(images.float(), SIZE))  # [B, 96, 8, 8]
        return Encoded(F.layer_norm(cells.flatten(2).mT, (self.width,)), None)

    def weights(self, image_size: int) -> Mapping[str, Tensor]:
        """Return the tensors that the tokens depend on."""
        return dict(self._body.state_dict())

    @cached_property
    def _body(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):  # building the model draws random numbers
            body: nn.Module = Classifier.load().body[:LAYERS]
        return body
