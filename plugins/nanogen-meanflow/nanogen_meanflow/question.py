"""Everything that a network is asked at one training step."""

from __future__ import annotations

from functools import cached_property

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.protocols import Field
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample


@frozen(slots=False)  # cached properties need a __dict__
class Question:
    """A network, seen as a field of average velocities, with a noised batch and the velocity that led to it."""

    field: Field
    state: State  # z at times.t
    times: Times
    velocity: Tensor  # [B, C, h, w]: (z - data) / max(t, t_eps)
    condition: Condition  # rows may be dropped (`condition.null`)
    null: Condition
    known: Tensor | None = None  # [B, C, h, w]: its own velocity, where it was computed before

    def along(self, z: Tensor, t: Tensor) -> Prediction:
        """The network's answer for another z [B, C, h, w] and t [B], and the same r."""
        return self.field(State(z), Times(t, self.times.r), self.condition)

    @cached_property
    def own(self) -> Tensor:
        """The network's own instantaneous velocity under the condition, without gradient: [B, C, h, w]."""
        return self._instantaneous(at_instants(self.condition, self.times.t)) if self.known is None else self.known

    @cached_property
    def free(self) -> Tensor:
        """The same without condition."""
        return self._instantaneous(self.null)

    @torch.no_grad()
    def _instantaneous(self, condition: Condition) -> Tensor:
        t = self.times.t
        return self.field(self.state, Times(t, t), condition).value.latent

    def unless_dropped(self, guided: Tensor) -> Tensor:
        """`guided` [B, C, h, w], but the plain velocity in rows that lost their condition: they have no guidance."""
        dropped = self.condition.null
        return guided if dropped is None else torch.where(per_sample(dropped, guided), self.velocity, guided)


def at_instants(condition: Condition, t: Tensor) -> Condition:
    """`condition` for r = t [B]: there a guidance that is told either holds or does not, and does so in all of time."""
    if condition.told is None:
        return condition
    share, start, end = condition.told.unbind(1)  # [B] each
    share = torch.where((t >= start) & (t <= end), share, 0.0)
    return condition._replace(told=torch.stack([share, torch.zeros_like(start), torch.ones_like(end)], dim=1))
