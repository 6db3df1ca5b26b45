"""The optimisers of a stage: one for each phase, each with a schedule of its own."""

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
    """Moves the parameters of a phase; its state goes into checkpoints by parameter names.

    The schedule of a phase starts at the phase's first update: one that starts later has a warm-up of its own.
    `gradient_clip` None clips nothing. `scaler` is what losses were multiplied by, in fp16.
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
        self._rates = {p: [group["lr"] for group in o.param_groups] for p, o in self.optimizers.items()}
        self._first: dict[str, int] = {}  # the step of each phase's first update

    def move(self, phase: str, step: int) -> dict[str, Tensor]:
        """One step of the phase's optimiser from the gradients that lie there; returns the norm before clipping, and 0
        for a step that fp16 had no room for."""
        optimizer = self.optimizers[phase]
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        norm = self._clipped(parameters)
        factor = self.schedule.factor(step - self._first.setdefault(phase, step))
        for group, rate in zip(optimizer.param_groups, self._rates[phase], strict=True):
            group["lr"] = rate * factor
        self._step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        norm = dtensor.whole(norm.detach())
        return {"grad_norm": norm if self.scaler is None else torch.where(norm.isfinite(), norm, 0.0)}

    def _clipped(self, parameters: Sequence[Tensor]) -> Tensor:
        """Clips the gradients, if they are to be; their norm before that."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.gradient_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip, norm)
        return norm

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)  # or not, where a gradient has left the range of fp16

    def moved(self) -> None:
        """After the optimisers of all phases."""
        if self.scaler is not None:
            self.scaler.update()

    def trained(self) -> Iterator[nn.Parameter]:
        """Every parameter that some optimiser moves."""
        for optimizer in self.optimizers.values():
            yield from (tensor for group in optimizer.param_groups for tensor in group["params"])

    def rate(self, phase: str) -> float:
        """The learning rate of the last step."""
        return float(self.optimizers[phase].param_groups[0]["lr"])

    def state(self) -> dict[str, dict[str, Tensor]]:
        return {
            f"optimizer-{phase}": checkpoint.optimizer_state(optimizer, self.names[phase])
            for phase, optimizer in self.optimizers.items()
        }

    def facts(self) -> dict[str, Any]:
        """What else a checkpoint must hold."""
        scaler = {} if self.scaler is None else {"scaler": self.scaler.state_dict()}
        return {"first_update": self._first, **scaler}

    def load_state(self, states: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
        """Puts back what `state` and `facts` gave."""
        for phase, optimizer in self.optimizers.items():
            checkpoint.load_optimizer_state(optimizer, self.names[phase], states.get(f"optimizer-{phase}", {}))
        self._first = dict(facts["first_update"])
        if self.scaler is not None and "scaler" in facts:
            self.scaler.load_state_dict(facts["scaler"])
