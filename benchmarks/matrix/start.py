"""Initial weights from another network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.matrix.cells import Start
from nanogen_core.errors import DataError
from nanogen_files import storage


@torch.no_grad()
def begin(network: nn.Module, file: Path, start: Start) -> list[str]:
    """Copy tensors of equal name and shape from a file into a network. Returns their names; none is a DataError."""
    own = network.state_dict()
    given = {renamed(name, start.rename): value for name, value in storage.read_tensors(file).items()}
    shared = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not shared:
        raise DataError(f"{file} has no tensor with the name and shape of a tensor of the network: check start_from.")
    network.load_state_dict({**own, **shared, **_zeros(own, start.zero)})
    return list(shared)


def renamed(name: str, beginnings: Mapping[str, str]) -> str:
    """Return the name with the first matching prefix replaced."""
    for old, new in beginnings.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _zeros(state: Mapping[str, Tensor], beginnings: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in state.items() if name.startswith(beginnings)}
