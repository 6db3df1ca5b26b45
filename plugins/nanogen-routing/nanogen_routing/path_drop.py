"""Path-drop guidance (SPRINT, arXiv 2510.21986): extrapolates from the prediction without the deep path."""

from __future__ import annotations

import torch
from attrs import evolve

from nanogen_core.protocols import VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_routing.config import PathDropConfig
from nanogen_routing.sprint import PATH_DROP, SHALLOW


class PathDrop:
    """Guidance `v = v_s + w (v_c - v_s)` for steps that start at t in [t_min, t_max].

    v_c is the conditional velocity. v_s is the unconditional velocity without the deep path, so the blocks of the path
    do not run. This guidance replaces classifier-free guidance.

    Args:
        config: Scale w, t_min and t_max.
    """

    level = 1

    def __init__(self, config: PathDropConfig):
        self.config = config

    def with_scale(self, scale: float) -> PathDrop:
        """Return this guidance with another scale w."""
        return PathDrop(evolve(self.config, scale=float(scale)))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function. `null` is the null condition of the batch, B rows."""
        every = torch.ones(len(null.tokens), dtype=torch.bool, device=null.tokens.device)

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            conditional = velocity_fn(state, times, condition)
            if self.config.scale == 1.0 or not times.start_in(self.config.t_min, self.config.t_max):
                return conditional
            without = null._replace(null=every, extras={**condition.extras, PATH_DROP: every, SHALLOW: every})
            shallow, scale = velocity_fn(state, times, without).value, self.config.scale
            return Prediction(conditional.value.map(lambda c, s: s + scale * (c - s), shallow))

        return guided
