"""The teacher: a frozen vision encoder, looked up by name among all that plugins offer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from nanogen_align.naming import slot
from nanogen_core.config import import_object
from nanogen_core.registry import registry
from nanogen_core.structure import structure


class VisionEncoder(Protocol):
    """What a component of kind `encoder` that provides `vision` must do to be a teacher.

    Its widths are known before any weights are; its weights take no gradient, its input does.
    """

    width: int  # D, of a patch token
    class_width: int  # of the class token; 0: it has none

    def to(self, device: torch.device | str) -> Any: ...

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [B, 3, H, W] in [-1, 1] -> patch tokens [B, N, D], row-major, and the class token [B, D] or None."""


class Teacher:
    """An encoder that is asked once for each batch, however many losses look at it."""

    def __init__(self, encoder: VisionEncoder):
        self.encoder = encoder
        self.width, self.class_width = encoder.width, encoder.class_width
        self._last: tuple[Tensor, tuple[Tensor, Tensor | None]] | None = None

    @torch.no_grad()
    def look(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [B, 3, H, W] -> patch tokens [B, N, D] float32, and the class token [B, D] or None."""
        if self._last is None or self._last[0] is not images:
            patches, token = self._encode(images)
            self._last = images, (patches.float(), None if token is None else token.float())
        return self._last[1]

    def patches(self, images: Tensor) -> Tensor:
        """Patch tokens [B, N, D] through which a gradient reaches the images."""
        return self._encode(images)[0]

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        self.encoder.to(images.device)
        return self.encoder.encode(images)


_SHARED: WeakValueDictionary[str, Teacher] = WeakValueDictionary()


def teacher_of(named: str | Mapping[str, Any]) -> Teacher:
    """The teacher of this name and options; losses that name the same one share it, and its weights."""
    key = json.dumps(slot(named), sort_keys=True)
    teacher = _SHARED.get(key)
    if teacher is None:
        teacher = _SHARED[key] = Teacher(_built(**slot(named)))
    return teacher


def _built(name: str, **options: Any) -> VisionEncoder:
    component = registry().component("encoder", name).what
    config = () if component.config is None else (structure(options, import_object(component.config), "teacher"),)
    encoder: VisionEncoder = import_object(component.target)(*config)
    return encoder
