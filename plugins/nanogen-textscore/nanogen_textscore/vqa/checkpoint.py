"""Reads a part of a published checkpoint by a prefix of its tensor names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from nanogen_files.weights import read_weights


def part_of(files: Sequence[Path], prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names start with a prefix.

    Args:
        files: The shards of the checkpoint, as safetensors or PyTorch files.

    Returns:
        The tensors by name, without the prefix.

    Raises:
        DataError: A file is damaged.
    """
    return {name: value for file in files for name, value in read_weights(file, prefix=prefix).items()}
