"""The inputs of one training step, and the network's own velocities at them."""

from __future__ import annotations

from functools import cached_property

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.protocols import VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample

GUIDANCE = "guidance"  # the name in `Condition.extras`


@frozen(slots=False)  # cached properties need a __dict__
class MeanFlowInputs:
    """A network as a function to average velocities, a noised batch, and the target velocity without guidance."""

    velocity_fn: VelocityFn
    state: State  # z at times.t
    times: Times
    velocity: Tensor  # [B, C, h, w]: (z - data) / max(t, t_eps)
    condition: Condition  # rows may be dropped (`condition.null`)
    null: Condition
    known: Tensor | None = None  # [B, C, h, w]: `v_cond`, where it was computed before

    def along(self, z: Tensor, t: Tensor) -> Prediction:
        """The network's prediction for another z [B, C, h, w] and t [B], and the same r."""
        return self.velocity_fn(State(z), Times(t, self.times.r), self.condition)

    @cached_property
    def v_cond(self) -> Tensor:
        """The network's instantaneous velocity u(z, t, t) with the condition, without gradient: [B, C, h, w]."""
        return self._instantaneous(at_instants(self.condition, self.times.t)) if self.known is None else self.known

    @cached_property
    def v_uncond(self) -> Tensor:
        """The network's instantaneous velocity without a condition, without gradient: [B, C, h, w]."""
        return self._instantaneous(self.null)

    @torch.no_grad()
    def _instantaneous(self, condition: Condition) -> Tensor:
        t = self.times.t
        return self.velocity_fn(self.state, Times(t, t), condition).value.latent

    def unless_dropped(self, guided: Tensor) -> Tensor:
        """`guided` [B, C, h, w]; the velocity without guidance in rows whose condition was dropped."""
        dropped = self.condition.null
        return guided if dropped is None else torch.where(per_sample(dropped, guided), self.velocity, guided)


def at_instants(condition: Condition, t: Tensor) -> Condition:
    """`condition` for r = t [B]: the scale that holds at t, with the interval [0, 1]."""
    if GUIDANCE not in condition.extras:
        return condition
    share, start, end = condition.extras[GUIDANCE].unbind(1)  # [B] each
    share = torch.where((t >= start) & (t <= end), share, 0.0)
    return with_extra(condition, torch.stack([share, torch.zeros_like(start), torch.ones_like(end)], dim=1))


def with_extra(condition: Condition, guidance: Tensor) -> Condition:
    """`condition` with the guidance [B, 3]: 1 - 1/w, t_min, t_max."""
    return condition._replace(extras={**condition.extras, GUIDANCE: guidance})
