"""Parts of a published checkpoint by the beginning of their names: whole or in shards, safetensors or PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from nanogen_files.weights import read_weights


def part_of(files: Sequence[Path], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning. Raises DataError for a damaged file."""
    return {name: value for file in files for name, value in read_weights(file, prefix=prefix).items()}
