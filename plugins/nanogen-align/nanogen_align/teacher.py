"""Teachers: frozen vision encoders, looked up by name in the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from nanogen_align.naming import KIND, slot
from nanogen_core.named_components import build_named
from nanogen_data.contents import of_values


class VisionEncoder(Protocol):
    """A component of the kind `vision_encoder`.

    Attributes:
        width: Width D of the tokens. Known before the weights are loaded.
        has_class_token: Whether there is a class token. Known before the weights are loaded.
    """

    width: int
    has_class_token: bool

    def to(self, device: torch.device | str) -> Any: ...

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images [B, 3, H, W] in [-1, 1] to row-major patch tokens [B, N, D] and the class token [B, D] or None.

        No gradient reaches the images.
        """

    def forward_features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the outputs of `encode` with a gradient to the images."""


class Teacher:
    """A vision encoder that caches the output of the last batch, so that several losses encode it once."""

    def __init__(self, encoder: VisionEncoder):
        self.encoder = encoder
        self.width = encoder.width
        self.has_class_token = encoder.has_class_token
        self._last: tuple[Tensor, tuple[Tensor, Tensor | None]] | None = None

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images [B, 3, H, W] to patch tokens [B, N, D] and the class token [B, D] or None, without gradient."""
        if self._last is None or self._last[0] is not images:
            self._last = images, self.encoder.to(images.device).encode(images)
        return self._last[1]

    def patches(self, images: Tensor) -> Tensor:
        """Return patch tokens [B, N, D] with a gradient to the images."""
        self.encoder.to(images.device)
        return self.encoder.forward_features(images)[0]


_SHARED: WeakValueDictionary[str, Teacher] = WeakValueDictionary()


def teacher_of(named: str | Mapping[str, Any], path: str = "teacher") -> Teacher:
    """Return the teacher that `named` selects. Losses share one teacher if its name, options and files are equal.

    Args:
        named: Name of a vision encoder, or a mapping with its `name` and options.
        path: Configuration path that error messages name, such as "auxiliary.repa.teacher".
    """
    key = json.dumps([slot(named), of_values(slot(named))], sort_keys=True)
    teacher = _SHARED.get(key)
    if teacher is None:
        teacher = _SHARED[key] = Teacher(build_named(KIND, slot(named), path=path))
    return teacher
