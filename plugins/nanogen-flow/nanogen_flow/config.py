"""Options of the flow objective. Does not import torch."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

from nanogen_core.errors import ConfigError
from nanogen_core.validators import factor, inside, time_mean, time_shift, time_std

PREDICTIONS = ("velocity", "x")
_mean: Any = validators.optional(time_mean)  # mypy takes the type of the default for that of the option


@frozen(kw_only=True)
class FlowConfig:
    """Options of `Flow`. The defaults follow DiffusionBench (arXiv 2606.24888).

    Args:
        prediction: What the network predicts: the "velocity", or the data "x".
        time_mean, time_std: Mean and standard deviation of logit(t) before the shift. `time_mean: null` draws uniform
            times instead.
        shift: Shift s of training times, `t <- s t / (1 + (s - 1) t)`. Null uses sqrt(C h w / 4096) of the latent.
        sample_shift: Shift of sampling times. Null uses the shift of the training times.
        t_eps: Smallest divisor in the velocity `(x_t - data) / max(t, t_eps)`.
        cls_token_weight: Weight of the class token's loss (REG).
        internal_weight: Weight of the loss of each additional head (internal guidance).
    """

    prediction: str = field(default="velocity", validator=validators.in_(PREDICTIONS))
    time_mean: float | None = field(default=0.0, validator=_mean)
    time_std: float = field(default=1.0, validator=time_std)
    shift: float | None = field(default=None, validator=validators.optional(time_shift))
    sample_shift: float | None = field(default=None, validator=validators.optional(time_shift))
    t_eps: float = field(default=0.05, validator=inside)
    cls_token_weight: float = field(default=0.03, validator=factor)
    internal_weight: float = field(default=1.0, validator=factor)

    def __attrs_post_init__(self) -> None:
        if self.time_mean is None and self.time_std != 1.0:
            raise ConfigError(
                f"time_std: uniform times (time_mean: null) have no deviation, got {self.time_std}. Set time_mean, or"
                " remove time_std."
            )
