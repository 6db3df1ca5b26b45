"""Options of AlphaFlow. Does not import torch."""

from __future__ import annotations

import math
from typing import Any

from attrs import field, frozen, validators

from nanogen_core.validators import between, count_or_none, not_below, positive, unit
from nanogen_meanflow.config import MIXES, MeanFlowConfig

_limit: Any = validators.optional(positive)  # mypy takes the type of the default for that of the option


@frozen(kw_only=True)
class AlphaFlowConfig(MeanFlowConfig):
    """Options of `AlphaFlow` (arXiv 2510.20771), in addition to the options of MeanFlow.

    The defaults follow the public code for its B/2 model, trained for 400,000 steps without guidance.

    Args:
        probability: Probability of r < t.
        mix: "sample" draws for each sample whether r < t; "step" draws once for all samples of a step.
        norm_eps: Constant in the loss `factor e / (sg(e) + norm_eps)^norm_p` of a sample with the mean squared error e.
            The factor is alpha where r < t and alpha > 0, and 1 elsewhere.
        omega, kappa: Weights of the guided target, as in MeanFlow.
        t_min, t_max: Interval of times with guidance in the target, both ends excluded.
        alpha_start, alpha_end: Steps between which alpha falls from 1 to 0. It is 1/2 in the middle.
        alpha_gamma: Steepness of the sigmoid along which alpha falls.
        alpha_clamp: Values of alpha below this become 0, values above 1 - alpha_clamp become 1.
        clamp: Limit of the absolute values of targets where r < t and alpha > 0. Null disables the limit.
    """

    probability: float = field(default=0.5, validator=unit)
    mix: str = field(default="sample", validator=validators.in_(MIXES))
    norm_eps: float = field(default=1e-3, validator=positive)
    kappa: float = field(default=0.0, validator=between(0, 1, below=True))
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
    alpha_start: int = field(default=0, validator=count_or_none)
    alpha_end: int = field(default=400_000, validator=[count_or_none, not_below("alpha_start")])
    alpha_gamma: float = field(default=25.0, validator=positive)
    alpha_clamp: float = field(default=0.005, validator=between(0, 0.5, below=True))
    clamp: float | None = field(default=4.0, validator=_limit)

    def alpha(self, step: int) -> float:
        """Return alpha at a training step: `1 - sigmoid(gamma ((step - start) / (end - start) - 1/2))`.

        Values within `alpha_clamp` of 0 or 1 become 0 or 1. alpha is 1 before `alpha_start` and 0 after `alpha_end`. If
        both are the same step, alpha is 0 from this step on.
        """
        start, end = self.alpha_start, self.alpha_end
        if step < start:
            return 1.0
        if step > end or start == end:
            return 0.0
        progress = (step - start) / (end - start) - 0.5
        alpha = 1 / (1 + math.exp(self.alpha_gamma * progress))
        if alpha < self.alpha_clamp:
            return 0.0
        return 1.0 if alpha > 1 - self.alpha_clamp else alpha
