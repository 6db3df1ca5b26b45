"""The optimizers and learning-rate schedules of a stage, one of each per phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import dtensor
from nanogen_train.optim.fused import fused_rows
from nanogen_train.protocols import Stage


class Optimization:
    """Updates the parameters of each phase of a stage (see `Stage`).

    The schedule of a phase starts at the first update of the phase. So a phase that starts late has its own warm-up.

    Args:
        stage: The stage to train.
        factory: Optimizer component; `build` makes an optimizer for the parameters of a phase.
        schedule: Learning-rate schedule component.
        gradient_clip: Maximum global L2 norm of the gradients; None disables clipping.
        scaler: Loss scaler for fp16.
    """

    def __init__(
        self, stage: Stage, factory: Any, schedule: Any, gradient_clip: float | None, scaler: GradScaler | None = None
    ):
        self.schedule, self.gradient_clip, self.scaler = schedule, gradient_clip, scaler
        parameters = {phase: stage.parameters_of(phase) for phase in stage.phase_names}
        self.parameters = {f"optimizer-{phase}": dict(pairs) for phase, pairs in parameters.items()}
        self.names = {phase: [name for name, _ in pairs] for phase, pairs in parameters.items()}
        fused = fused_rows(stage.nets)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            phase: factory.build(pairs, fused) for phase, pairs in parameters.items()
        }
        self._base_rates = {p: [group["lr"] for group in o.param_groups] for p, o in self.optimizers.items()}
        self._first_update: dict[str, int] = {}  # step of each phase's first update

    def update(self, phase: str, step: int) -> dict[str, Tensor]:
        """Clip the gradients of a phase and step its optimizer.

        Args:
            step: Steps taken so far, for the schedule.

        Returns:
            `grad_norm`: the gradient norm before clipping; 0 if fp16 overflowed and the step is skipped.
        """
        optimizer = self.optimizers[phase]
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        norm = self._clipped(parameters)
        factor = self.schedule.factor(step - self._first_update.setdefault(phase, step))
        for group, rate in zip(optimizer.param_groups, self._base_rates[phase], strict=True):
            group["lr"] = rate * factor
        self._step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        norm = dtensor.full(norm.detach())
        return {"grad_norm": norm if self.scaler is None else torch.where(norm.isfinite(), norm, 0.0)}

    def _clipped(self, parameters: Sequence[Tensor]) -> Tensor:
        """Clip the gradients if configured. Return their norm before clipping."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip, norm)
        return norm

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)  # skips the step if an fp16 gradient overflowed

    def end_step(self) -> None:
        """Update the loss scaler, after the optimizers of all phases."""
        if self.scaler is not None:
            self.scaler.update()

    def trained(self) -> Iterator[nn.Parameter]:
        """Yield every parameter of all optimizers."""
        for optimizer in self.optimizers.values():
            yield from (tensor for group in optimizer.param_groups for tensor in group["params"])

    def rate(self, phase: str) -> float:
        """Return the learning rate of a phase at its last update."""
        return float(self.optimizers[phase].param_groups[0]["lr"])

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return the optimizer states for a checkpoint: `optimizer-PHASE` -> name -> tensor."""
        return {
            f"optimizer-{phase}": checkpoint.optimizer_state(optimizer, self.names[phase])
            for phase, optimizer in self.optimizers.items()
        }

    def facts(self) -> dict[str, Any]:
        """Return the JSON values for a checkpoint: the first update of each phase and the state of the loss scaler."""
        scaler = {} if self.scaler is None else {"scaler": self.scaler.state_dict()}
        return {"first_update": self._first_update, **scaler}

    def load_state(self, states: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
        """Load the results of `state` and `facts`."""
        for phase, optimizer in self.optimizers.items():
            checkpoint.load_optimizer_state(optimizer, self.names[phase], states.get(f"optimizer-{phase}", {}))
        self._first_update = dict(facts["first_update"])
        if self.scaler is not None and "scaler" in facts:
            self.scaler.load_state_dict(facts["scaler"])
