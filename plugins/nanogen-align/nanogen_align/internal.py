"""Internal guidance: guidance by the prediction of a head on an intermediate block."""

from __future__ import annotations

import torch
from attrs import evolve
from torch import Tensor

from nanogen_align.config import InternalConfig
from nanogen_core.errors import Incompatible
from nanogen_core.protocols import VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample

HEAD = "internal"
NO_HEAD = (
    "guidance.internal: this network was built without an internal head. Train one with `guidance.internal` or"
    " `backbone.internal_head_depth`, or choose another guidance."
)


class Internal:
    """Guidance `base + w (full - base)` of velocities at times t in [t_min, t_max], with w = `scale`.

    `base` is the velocity that a head on an intermediate block predicts, `full` the network's own velocity. Under
    classifier-free guidance both branches are guided; `null_scale` sets the scale of the unconditional branch. The
    class token (REG) has no such head and is not guided.

    Args:
        config: Scales and interval.
    """

    level = 0

    def __init__(self, config: InternalConfig):
        self.config = config

    def with_scale(self, scale: float) -> Internal:
        """Return a copy of this guidance with another scale w, for both branches."""
        return Internal(evolve(self.config, scale=float(scale), null_scale=None))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function. Rows where `Condition.null` is true are the unconditional branch.

        The function raises Incompatible if the network has no internal head.
        """

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            prediction = velocity_fn(state, times, condition)
            if not times.start_in(self.config.t_min, self.config.t_max):
                return prediction
            if HEAD not in prediction.heads:
                raise Incompatible(NO_HEAD)
            base, full = prediction.heads[HEAD].latent, prediction.value
            scale = per_sample(self._scales(condition), base)
            return Prediction(full._replace(latent=base + scale * (full.latent - base)))

        return guided

    def _scales(self, condition: Condition) -> Tensor:
        """Return the scales [B] of the rows."""
        size, device = (len(condition.tokens),), condition.tokens.device
        scale = torch.full(size, self.config.scale, device=device)
        if self.config.null_scale is None or condition.null is None:
            return scale
        return torch.where(condition.null, self.config.null_scale, scale)
