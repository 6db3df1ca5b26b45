"""What metrics keep of single examples: rows by index, so that nothing depends on the order in which they came."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

INDEX = "index"


class Rows:
    """Named tensors with one row for each example. An example that comes twice counts once: the first time."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Tensor]] = []
        self._tidy = True  # nothing came since the rows were sorted: sorting thousands of features again takes long

    def add(self, indices: Tensor, **columns: Tensor) -> None:
        """Rows [B, ...] of the examples with these indices [B] int64."""
        self._parts.append({INDEX: indices.cpu(), **{name: value.detach().cpu() for name, value in columns.items()}})
        self._tidy = False

    def __getitem__(self, name: str) -> Tensor:
        """All rows of one column [N, ...], in the order of the indices. Raises KeyError where there are none."""
        return self.state()[name]

    def __len__(self) -> int:
        return len(self.state().get(INDEX, ()))

    def state(self) -> Mapping[str, Tensor]:
        """The columns and `index` [N], sorted by it; empty where nothing was added."""
        if len(self._parts) > 1:
            self._parts = [{name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}]
        if not self._parts:
            return {}
        if not self._tidy:
            self._parts, self._tidy = [_sorted(self._parts[0])], True
        return dict(self._parts[0])

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Adds the rows of another one's `state`."""
        if state:
            self._parts.append(dict(state))
            self._tidy = False


def _sorted(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    order = torch.argsort(columns[INDEX], stable=True)
    index = columns[INDEX][order]
    first = torch.ones(len(index), dtype=torch.bool)
    first[1:] = index[1:] != index[:-1]
    kept = order[first]
    return {name: value[kept] for name, value in columns.items()}
