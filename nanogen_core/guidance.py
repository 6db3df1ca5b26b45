"""Classifier-free guidance. A guidance wraps a field in another one, so that several compose."""

from __future__ import annotations

import torch
from attrs import evolve
from torch import Tensor

from nanogen_core.protocols import VelocityFn
from nanogen_core.settings import ClassifierFreeConfig
from nanogen_core.tensors import Condition, Prediction, State, Times, join_conditions


class ClassifierFree:
    """`v_u + w (v_c - v_u)` inside the closed interval [t_min, t_max], tested on the start of a step (Ho and Salimans,
    arXiv 2207.12598; the interval: Kynkaanniemi et al., arXiv 2404.07724).

    Outside the interval, and for w = 1, the unconditional branch is not computed.
    """

    level = 1

    def __init__(self, config: ClassifierFreeConfig):
        self.config = config

    def with_scale(self, scale: float) -> ClassifierFree:
        """The same guidance with another scale w."""
        return ClassifierFree(evolve(self.config, scale=float(scale)))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """The guided field. `null` is the null condition of the batch that will be asked for.

        Inner guidances find the unconditional branch by `Condition.null`.
        """
        null = null._replace(null=torch.ones(len(null.tokens), dtype=torch.bool, device=null.tokens.device))

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            if not self._active(times):
                return velocity_fn(state, times, condition)
            empty = null._replace(extras=condition.extras)
            both = velocity_fn(
                _twice(state), Times(times.t.repeat(2), times.r.repeat(2)), join_conditions(condition, empty)
            )
            scale = self.config.scale
            value = both.value.map(lambda pair: _extrapolate(pair, scale))
            return Prediction(self._of_channels(value, both.value))

        return guided

    def _of_channels(self, guided: State, pair: State) -> State:
        """The guided state with the further channels as the condition alone has them."""
        count = self.config.channels
        if count is None:
            return guided
        conditional, _ = pair.latent.chunk(2)
        return guided._replace(latent=torch.cat([guided.latent[:, :count], conditional[:, count:]], dim=1))

    def _active(self, times: Times) -> bool:
        if self.config.scale == 1.0:
            return False
        start = times.t[0]  # all samples of a step share it; as a tensor, so that 0.8 is the same number on both sides
        return bool((start >= self.config.t_min) & (start <= self.config.t_max))


def _twice(state: State) -> State:
    return state.map(lambda x: x.repeat(2, *([1] * (x.ndim - 1))))  # [2B, ...]


def _extrapolate(pair: Tensor, scale: float) -> Tensor:
    conditional, unconditional = pair.chunk(2)
    return unconditional + scale * (conditional - unconditional)
