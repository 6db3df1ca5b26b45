"""Parts of a published checkpoint by the beginning of their names: whole or in shards, safetensors or PyTorch's."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nanogen_core.errors import DataError


def part_of(files: list[Path], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning. Raises DataError for a damaged file."""
    try:
        return {name.removeprefix(prefix): value for file in files for name, value in _tensors(file, prefix)}
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise DataError(f"{files[0].parent} has damaged weights ({error}): fetch the model again.") from error


def _tensors(file: Path, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as opened:
            yield from ((name, opened.get_tensor(name)) for name in opened.keys() if name.startswith(prefix))  # noqa: SIM118
        return
    content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)  # runs no code of the file's
    yield from ((name, value) for name, value in content.items() if name.startswith(prefix))
