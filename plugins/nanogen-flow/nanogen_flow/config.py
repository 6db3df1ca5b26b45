"""The options of the flow objective. Importing this loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_core.validators import factor, inside, time_mean, time_shift, time_std

PREDICTIONS = ("velocity", "x")


@frozen(kw_only=True)
class FlowConfig:
    """The recipe of DiffusionBench (arXiv 2606.24888). Pixel methods set `sample_shift: 1.0` (not PixNerd on text)."""

    prediction: str = field(default="velocity", validator=validators.in_(PREDICTIONS))  # what the network gives
    time_mean: float = field(default=0.0, validator=time_mean)  # of the normal numbers whose sigmoid is the time
    time_std: float = field(default=1.0, validator=time_std)
    shift: float | None = field(default=None, validator=validators.optional(time_shift))  # None: of the latent
    sample_shift: float | None = field(default=None, validator=validators.optional(time_shift))  # None: `shift`
    t_eps: float = field(default=0.05, validator=inside)  # smallest time that a velocity is divided by
    cls_token_weight: float = field(default=0.03, validator=factor)  # of the class token's loss (REG)
    internal_weight: float = field(default=1.0, validator=factor)  # of each further head's loss
