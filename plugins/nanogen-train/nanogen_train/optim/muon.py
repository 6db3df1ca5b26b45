"""Muon (Jordan et al., 2024; Liu et al., arXiv 2502.16982). Unlike torch.optim.Muon, supports fused q, k and v."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nanogen_train.distributed import dtensor
from nanogen_train.optim.fused import NOT_FUSED, FusedRows

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, chosen for the steepest slope at zero
EPS = 1e-7

#: Step scale for a matrix with this many rows and columns; see MuonConfig.
SCALES: Mapping[str, Callable[[int, int], float]] = {
    "rms": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "shape": lambda rows, columns: math.sqrt(max(1, rows / columns)),
}


class MuonOptimizer(torch.optim.Optimizer):
    """Muon. Each update is the orthogonalised momentum (singular values of about 1), times `scale` and `lr`.

    Each matrix of a fused parameter is orthogonalised and scaled separately. The momentum of a sharded weight (DTensor)
    is gathered for its update.

    Args:
        parameters: Matrices [rows, columns]. A fused parameter stacks several, such as q, k and v.
        lr: Learning rate.
        weight_decay: Decoupled weight decay.
        momentum: Momentum factor.
        nesterov: Use Nesterov momentum.
        iterations: Newton-Schulz iterations.
        scale: Step scale, a key of `SCALES`.
        fused: Maps each fused parameter to the row counts of its matrices.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        lr: float,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        iterations: int,
        scale: str,
        fused: FusedRows = NOT_FUSED,
    ):
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        super().__init__(parameters, {**options, "iterations": iterations})
        self._scale, self._fused = SCALES[scale], fused

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step. `closure` is not supported."""
        assert closure is None, "a closure is not called"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, self._momentum(parameter, group), group)

    def _momentum(self, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer

    def _update(self, parameter: Tensor, momentum: Tensor, group: Mapping[str, Any]) -> None:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        full, rows = dtensor.full(momentum), list(self._fused.get(parameter, (len(parameter),)))
        is_sharded = full is not momentum
        target = torch.zeros_like(full) if is_sharded else parameter
        for matrix, direction in zip(target.split_with_sizes(rows), full.split_with_sizes(rows), strict=True):
            step = orthogonalized(direction, group["iterations"])
            matrix.add_(step, alpha=-group["lr"] * self._scale(*direction.shape))
        if is_sharded:
            parameter.add_(dtensor.shard_like(target, parameter))


def orthogonalized(matrix: Tensor, iterations: int) -> Tensor:
    """Return approximately U V^T for a matrix U S V^T, computed in bfloat16 by Newton-Schulz iterations.

    After five iterations, most singular values are between 0.7 and 1.2 instead of 1. This does not hurt training.

    Args:
        matrix: Matrix [rows, columns].
        iterations: Number of iterations.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if is_tall else x
    x = x / x.norm().clamp(min=EPS)  # spectral norm at most 1
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
