"""Resolves a recipe for one task and builds its parts on the meta device, without data."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from nanogen_core.assembly import Assembly
from nanogen_core.config import combine, resolve

CLASSES = 1000  # of ImageNet
UNGUIDED = {"guidance": {"cfg": None}}


class NoData:
    """A dataset with the classes of ImageNet and no images."""

    classes = tuple(f"class {number}" for number in range(CLASSES))

    def open(self, split: str, image_size: int, view: str) -> list[Any]:
        return []


@cache
def parts_of(name: str, task: str, guided: bool = True) -> Assembly:
    """Return the parts of a recipe. `guided=False` removes its classifier-free guidance."""
    resolved = resolve(combine(name, {"task": task, **({} if guided else UNGUIDED)}))
    parts = Assembly(resolved, {"dataset": NoData()})
    with torch.device("meta"):
        for part in ("latent", "backbone", "objective"):
            _ = parts[part]
    return parts
