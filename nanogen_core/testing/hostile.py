"""Files of weights that run code when they are unpickled, to hold every reader of weights to running nothing."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch

KINDS = ("pickle", "zip")


class Hostile:
    """Unpickling it makes the file `mark`."""

    def __init__(self, mark: Path):
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._mark,)


def write_hostile(file: Path, mark: Path, kind: str) -> None:
    """A file as `torch.save` wrote it long ago (`"pickle"`) or writes it now (`"zip"`), among tensors."""
    content = {"weight": torch.zeros(2), "bomb": Hostile(mark)}
    if kind == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file)


def variants(folder: Path) -> Iterator[Path]:
    """Every kind of such a file under each name that weights have; `explodes` says whether one ran."""
    for kind in KINDS:
        for suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt"):
            file = folder / f"{kind}{suffix}"
            write_hostile(file, mark(folder), kind)
            yield file


def mark(folder: Path) -> Path:
    """What lies in the folder once a file has run."""
    return folder / "exploded"
