"""Inputs of one training step, and the network's instantaneous velocities at them."""

from __future__ import annotations

from functools import cached_property

import torch
from attrs import frozen
from torch import Tensor

from nanogen_core.protocols import VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample

GUIDANCE = "guidance"  # the key in `Condition.extras`


@frozen(slots=False)  # cached properties need a __dict__
class MeanFlowInputs:
    """A network, a noised batch, and the unguided target velocity.

    Args:
        velocity_fn: The network. Its prediction is converted to an average velocity.
        state: z_t, the state at `times.t`.
        noise: The state at t = 1 on the same path.
        times: t and r, [B] each.
        velocity: `(z_t - data) / max(t, t_eps)` [B, C, h, w], with the option `t_eps`.
        condition: The conditions. Where `condition.null` is true, the null condition replaces the sample's own.
        null: The null condition.
        known_v_cond: `v_cond` [B, C, h, w] if it has already been computed.
    """

    velocity_fn: VelocityFn
    state: State
    noise: State
    times: Times
    velocity: Tensor
    condition: Condition
    null: Condition
    known_v_cond: Tensor | None = None

    def predict_at(self, z: Tensor, t: Tensor) -> Prediction:
        """Run the network at z [B, C, h, w] and t [B], with the r and the condition of this step."""
        return self.velocity_fn(State(z), Times(t, self.times.r), self.condition)

    @cached_property
    def v_cond(self) -> Tensor:
        """Instantaneous velocity u(z, t, t | c), without gradient: [B, C, h, w]."""
        if self.known_v_cond is not None:
            return self.known_v_cond
        return self._instantaneous(instantaneous(self.condition, self.times.t))

    @cached_property
    def v_uncond(self) -> Tensor:
        """Instantaneous velocity u(z, t, t | null), without gradient: [B, C, h, w]."""
        return self._instantaneous(self.null)

    @torch.no_grad()
    def _instantaneous(self, condition: Condition) -> Tensor:
        t = self.times.t
        return self.velocity_fn(self.state, Times(t, t), condition).value.latent

    def unguided_where_null(self, guided: Tensor) -> Tensor:
        """Return `guided` [B, C, h, w], with the unguided velocity in rows whose condition was dropped."""
        dropped = self.condition.null
        return guided if dropped is None else torch.where(per_sample(dropped, guided), self.velocity, guided)


def instantaneous(condition: Condition, t: Tensor) -> Condition:
    """Return `condition` with its guidance input changed for evaluations at r = t. The times `t` are [B].

    The fraction is 1 - 1/w if t lies in [t_min, t_max], else 0. The interval becomes [0, 1]. A condition without
    guidance input is returned unchanged.
    """
    if GUIDANCE not in condition.extras:
        return condition
    fraction, t_min, t_max = condition.extras[GUIDANCE].unbind(1)  # [B] each
    fraction = torch.where((t >= t_min) & (t <= t_max), fraction, 0.0)
    return set_guidance(condition, torch.stack([fraction, torch.zeros_like(t_min), torch.ones_like(t_max)], dim=1))


def set_guidance(condition: Condition, guidance: Tensor) -> Condition:
    """Return `condition` with `extras["guidance"]` set to `guidance` [B, 3]: 1 - 1/w, t_min, t_max."""
    return condition._replace(extras={**condition.extras, GUIDANCE: guidance})
