"""Internal guidance: a network guided by what it knew halfway (a second head on an intermediate block)."""

from __future__ import annotations

import torch
from attrs import evolve
from torch import Tensor

from nanogen_align.config import InternalConfig
from nanogen_core.protocols import VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample


class Internal:
    """`base + w (full - base)` inside the closed interval [t_min, t_max], tested on the start of a step.

    Both branches of classifier-free guidance around it are guided, the unconditional one perhaps by another w. A
    class token (REG) has no second head and stays as it is.
    """

    level = 0

    def __init__(self, config: InternalConfig):
        self.config = config

    def with_scale(self, scale: float) -> Internal:
        """The same guidance with another scale w for both branches."""
        return Internal(evolve(self.config, scale=float(scale), null_scale=None))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """The guided field. `Condition.null` says which rows are of the unconditional branch."""

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            prediction = velocity_fn(state, times, condition)
            start = times.t[0]  # all samples of a step share it; as a tensor, so that the interval is closed
            if not self.config.t_min <= start <= self.config.t_max:
                return prediction
            base, full = prediction.heads["internal"].latent, prediction.value
            scale = per_sample(self._scales(condition), base)
            return Prediction(full._replace(latent=base + scale * (full.latent - base)))

        return guided

    def _scales(self, condition: Condition) -> Tensor:
        """w of each row: [B]."""
        size, device = (len(condition.tokens),), condition.tokens.device
        scale = torch.full(size, self.config.scale, device=device)
        if self.config.null_scale is None or condition.null is None:
            return scale
        return torch.where(condition.null, self.config.null_scale, scale)
