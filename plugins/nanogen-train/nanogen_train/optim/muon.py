"""Muon (Jordan et al., 2024; Liu et al., arXiv 2502.16982), as torch.optim.Muon computes it, for fused matrices too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nanogen_train.distributed import dtensor
from nanogen_train.optim.fused import NOT_FUSED, FusedRows

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration: the steepest at zero
EPS = 1e-7

#: How a step is fitted to a matrix of this many rows and columns; see MuonConfig.
SCALES: Mapping[str, Callable[[int, int], float]] = {
    "rms": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "shape": lambda rows, columns: math.sqrt(max(1, rows / columns)),
}


class MuonOptimizer(torch.optim.Optimizer):
    """Each step is the momentum with its singular values made equal.

    A parameter of `fused` holds several matrices one below the other. Each is orthogonalised and scaled by itself, as
    if it were a parameter of its own. Weights may be sharded (DTensor): each matrix is then gathered for its step.
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
        """One step from the gradients that lie there. Takes no closure."""
        assert closure is None, "a closure is not called"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, self._momentum(parameter, group), group)

    def _momentum(self, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer

    def _move(self, parameter: Tensor, momentum: Tensor, group: Mapping[str, Any]) -> None:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        whole, rows = dtensor.whole(momentum), list(self._fused.get(parameter, (len(parameter),)))
        is_sharded = whole is not momentum
        moved = torch.zeros_like(whole) if is_sharded else parameter
        for matrix, direction in zip(moved.split_with_sizes(rows), whole.split_with_sizes(rows), strict=True):
            step = orthogonalized(direction, group["iterations"])
            matrix.add_(step, alpha=-group["lr"] * self._scale(*direction.shape))
        if is_sharded:
            parameter.add_(dtensor.placed(moved, parameter))


def orthogonalized(matrix: Tensor, iterations: int) -> Tensor:
    """About U V^T for a matrix U S V^T, in bfloat16, by iterations of Newton and Schulz.

    Singular values end between 0.7 and 1.2 rather than at 1, which does the training no harm.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if is_tall else x
    x = x / x.norm().clamp(min=EPS)  # a spectral norm of at most 1
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
