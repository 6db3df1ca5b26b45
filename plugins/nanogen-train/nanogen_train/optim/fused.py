"""Matrices that are stored as one parameter, such as q, k and v: how its rows split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn

from nanogen_core.errors import TrainingError

FusedRows = Mapping[Tensor, Sequence[int]]  # parameter -> the number of rows of each matrix in it
NOT_FUSED: FusedRows = MappingProxyType({})


def fused_rows(net: nn.Module) -> FusedRows:
    """The fused parameters of a network.

    A module declares them by an attribute `fused_rows`, a mapping such as `{"weight": (64, 64, 64)}`. Call this after
    the network was moved, copied or sharded, which may replace its parameters. Raises TrainingError where the rows do
    not add up.
    """
    found: dict[Tensor, Sequence[int]] = {}
    for path, module in net.named_modules():
        declared: Mapping[str, Sequence[int]] = getattr(module, "fused_rows", {})
        for name, rows in declared.items():
            parameter = getattr(module, name)
            if sum(rows) != len(parameter):
                raise TrainingError(
                    f"{path}.fused_rows: {name} has {len(parameter)} rows, and its parts {list(rows)} have {sum(rows)}."
                )
            found[parameter] = tuple(rows)
    return found
