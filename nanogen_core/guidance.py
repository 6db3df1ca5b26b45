"""Classifier-free guidance."""

from __future__ import annotations

import torch
from attrs import evolve

from nanogen_core.protocols import VelocityFn
from nanogen_core.settings import ClassifierFreeConfig
from nanogen_core.tensors import Condition, Prediction, SharedTimes, State, Times, join_conditions


class ClassifierFree:
    """Classifier-free guidance v = v_u + w (v_c - v_u) in an interval of times.

    v_c and v_u are the conditional and unconditional velocities (Ho and Salimans, arXiv 2207.12598). Guidance applies
    to velocities at times t with t_min <= t <= t_max (Kynkaanniemi et al., arXiv 2404.07724). Outside this interval,
    and for w = 1, the result is v_c and the unconditional branch is not computed.
    """

    level = 1

    def __init__(self, config: ClassifierFreeConfig):
        self.config = config

    def with_scale(self, scale: float) -> ClassifierFree:
        """Return a copy of this guidance with another scale w."""
        return ClassifierFree(evolve(self.config, scale=float(scale)))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function. It calls `velocity_fn` once per evaluation. `null` has B rows."""

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            if self.config.scale == 1.0 or not times.start_in(self.config.t_min, self.config.t_max):
                return velocity_fn(state, times, condition)
            conditional, unconditional = branches(velocity_fn, state, times, condition, null)
            scale = self.config.scale
            value = conditional.map(lambda c, u: u + scale * (c - u), unconditional)
            return Prediction(self._of_channels(value, conditional))

        return guided

    def _of_channels(self, guided: State, conditional: State) -> State:
        """Replace the channels from `config.channels` on by the conditional ones."""
        if (count := self.config.channels) is None:
            return guided
        return guided._replace(latent=torch.cat([guided.latent[:, :count], conditional.latent[:, count:]], dim=1))


def branches(
    velocity_fn: VelocityFn, state: State, times: Times, condition: Condition, null: Condition
) -> tuple[State, State]:
    """Return the conditional and the unconditional velocities of B samples, by one call with 2B rows.

    The unconditional rows come last, and `Condition.null` marks them. `null` is the null condition, B rows.
    """
    marked = torch.ones(len(null.tokens), dtype=torch.bool, device=null.tokens.device)
    empty = null._replace(null=marked, extras=condition.extras)
    doubled = SharedTimes.of(times.t.repeat(2), times.r.repeat(2), times.numbers())
    both = velocity_fn(_twice(state), doubled, join_conditions(condition, empty)).value
    return both.map(lambda pair: pair.chunk(2)[0]), both.map(lambda pair: pair.chunk(2)[1])


def _twice(state: State) -> State:
    return state.map(lambda x: x.repeat(2, *([1] * (x.ndim - 1))))  # [2B, ...]
