"""The teacher: a frozen vision encoder, looked up by name among all that plugins offer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from nanogen_align.naming import KIND, slot
from nanogen_core.building import build_named
from nanogen_data.contents import of_values


class VisionEncoder(Protocol):
    """A component of the kind `vision_encoder`.

    The first two are known before any weights are. `encode` and `look` answer with patch tokens [B, N, D], row-major,
    and the class token [B, D] or None, for images [B, 3, H, W] in [-1, 1]; a gradient passes through `look` alone.
    """

    width: int  # D
    has_class_token: bool

    def to(self, device: torch.device | str) -> Any: ...

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]: ...

    def forward_features(self, images: Tensor) -> tuple[Tensor, Tensor | None]: ...


class Teacher:
    """An encoder that is asked once for each batch, however many losses want its answer."""

    def __init__(self, encoder: VisionEncoder):
        self.encoder = encoder
        self.width = encoder.width
        self.has_class_token = encoder.has_class_token
        self._last: tuple[Tensor, tuple[Tensor, Tensor | None]] | None = None

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [B, 3, H, W] -> patch tokens [B, N, D] and the class token [B, D] or None, without gradient."""
        if self._last is None or self._last[0] is not images:
            self._last = images, self.encoder.to(images.device).encode(images)
        return self._last[1]

    def patches(self, images: Tensor) -> Tensor:
        """Patch tokens [B, N, D] through which a gradient reaches the images."""
        self.encoder.to(images.device)
        return self.encoder.forward_features(images)[0]


_SHARED: WeakValueDictionary[str, Teacher] = WeakValueDictionary()


def teacher_of(named: str | Mapping[str, Any]) -> Teacher:
    """The teacher of this name and options; losses that name the same one share it, and its weights, as long as the
    files that it names are the same."""
    key = json.dumps([slot(named), of_values(slot(named))], sort_keys=True)
    teacher = _SHARED.get(key)
    if teacher is None:
        teacher = _SHARED[key] = Teacher(build_named(KIND, slot(named), path="teacher"))
    return teacher
