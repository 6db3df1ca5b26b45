"""The options of the flow objective. Importing this loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

PREDICTIONS = ("velocity", "x")


@frozen(kw_only=True)
class FlowConfig:
    """The recipe of DiffusionBench (arXiv 2606.24888). Pixel methods set `sample_shift: 1.0` (not PixNerd on text)."""

    prediction: str = field(default="velocity", validator=validators.in_(PREDICTIONS))  # what the network gives
    time_mean: float = 0.0  # of the normal numbers whose sigmoid is the time
    time_std: float = field(default=1.0, validator=validators.gt(0))
    shift: float | None = field(default=None, validator=validators.optional(validators.gt(0)))  # None: of the latent
    sample_shift: float | None = field(default=None, validator=validators.optional(validators.gt(0)))  # None: `shift`
    t_eps: float = field(default=0.05, validator=validators.gt(0))  # smallest time that a velocity is divided by
    token_weight: float = field(default=0.03, validator=validators.ge(0))  # of the further token's loss (REG)
    internal_weight: float = field(default=1.0, validator=validators.ge(0))  # of each further head's loss
