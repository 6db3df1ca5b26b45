"""Storage of per-example values of a metric, independent of the order of the examples."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

INDEX = "index"


class Rows:
    """Named tensors with one row per example, sorted by example index. Repeated examples are ignored.

    >>> rows = Rows()
    >>> rows.add(torch.tensor([2, 0]), loss=torch.tensor([0.2, 0.0]))
    >>> rows["loss"]
    tensor([0.0000, 0.2000])
    """

    def __init__(self) -> None:
        self._parts: list[dict[str, Tensor]] = []
        self._is_sorted = True  # whether `_parts` is sorted; sorting thousands of features is slow

    def add(self, indices: Tensor, **columns: Tensor) -> None:
        """Add rows.

        Args:
            indices: Indices [B] int64 of the examples.
            **columns: Tensors [B, ...] of values, by name.
        """
        self._parts.append({INDEX: indices.cpu(), **{name: value.detach().cpu() for name, value in columns.items()}})
        self._is_sorted = False

    def __getitem__(self, name: str) -> Tensor:
        """Return a column [N, ...], sorted by index. Raises KeyError if it does not exist."""
        return self.state()[name]

    def __len__(self) -> int:
        return len(self.state().get(INDEX, ()))

    def state(self) -> Mapping[str, Tensor]:
        """Return all columns and the column `index` [N], sorted by index. Empty if nothing was added."""
        if len(self._parts) > 1:
            self._parts = [{name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}]
        if not self._parts:
            return {}
        if not self._is_sorted:
            self._parts, self._is_sorted = [_sorted(self._parts[0])], True
        return dict(self._parts[0])

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Add the rows of another `state`."""
        if state:
            self._parts.append(dict(state))
            self._is_sorted = False


def _sorted(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    order = torch.argsort(columns[INDEX], stable=True)
    index = columns[INDEX][order]
    first = torch.ones(len(index), dtype=torch.bool)
    first[1:] = index[1:] != index[:-1]
    kept = order[first]
    return {name: value[kept] for name, value in columns.items()}
