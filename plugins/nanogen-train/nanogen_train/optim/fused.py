"""Fused parameters: tensors that stack the rows of several matrices, such as q, k and v."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn

from nanogen_core.errors import TrainingError

FusedRows = Mapping[Tensor, Sequence[int]]  # parameter -> number of rows of each of its matrices
NOT_FUSED: FusedRows = MappingProxyType({})


def fused_rows(net: nn.Module) -> FusedRows:
    """Return the fused parameters of a network, each with the row counts of its matrices.

    A module declares them by an attribute `fused_rows`, such as `{"weight": (64, 64, 64)}`. Call this after the network
    is moved, copied or sharded, because this may replace its parameters.

    Raises:
        TrainingError: The declared row counts do not add up to the parameter's rows.
    """
    fused: dict[Tensor, Sequence[int]] = {}
    for path, module in net.named_modules():
        declared: Mapping[str, Sequence[int]] = getattr(module, "fused_rows", {})
        for name, rows in declared.items():
            parameter = getattr(module, name)
            if sum(rows) != len(parameter):
                raise TrainingError(
                    f"{path}.fused_rows: {name} has {len(parameter)} rows, but the counts {list(rows)} add up to"
                    f" {sum(rows)}. Correct the counts."
                )
            fused[parameter] = tuple(rows)
    return fused
