"""Weight files that execute code when unpickled, to test that no reader of weights executes it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch

KINDS = ("pickle", "zip")


class Hostile:
    """An object that creates the file `mark` when it is unpickled."""

    def __init__(self, mark: Path):
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._mark,)


def write_hostile(file: Path, mark: Path, kind: str) -> None:
    """Write a weight file with a `Hostile` object, in the legacy (`"pickle"`) or current (`"zip"`) torch format."""
    content = {"weight": torch.zeros(2), "bomb": Hostile(mark)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file)


def variants(folder: Path) -> Iterator[Path]:
    """Write hostile files in both formats and with every suffix of weight files, and yield their paths."""
    for kind in KINDS:
        for suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt"):
            file = folder / f"{kind}{suffix}"
            write_hostile(file, mark(folder), kind)
            yield file


def mark(folder: Path) -> Path:
    """Return the path of the file whose existence shows that hostile code was executed."""
    return folder / "exploded"
