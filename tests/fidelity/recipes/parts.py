"""A recipe on one task: resolved, and its parts built without memory and without data."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from nanogen_core.assembly import Assembly
from nanogen_core.config import combine, resolve

CLASSES = 1000  # of ImageNet
UNGUIDED = {"guidance": {"cfg": None}}


class NoData:
    """A dataset with ImageNet's number of classes and no image."""

    classes = tuple(f"class {number}" for number in range(CLASSES))

    def open(self, split: str, image_size: int, view: str) -> list[Any]:
        return []


@cache
def parts_of(name: str, task: str, guided: bool = True) -> Assembly:
    """The parts of a recipe. `guided=False` samples without guidance, whatever the recipe says."""
    resolved = resolve(combine(name, {"task": task, **({} if guided else UNGUIDED)}))
    parts = Assembly(resolved, {"dataset": NoData()})
    with torch.device("meta"):
        for part in ("latent", "backbone", "objective"):
            _ = parts[part]
    return parts
