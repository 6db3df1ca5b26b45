"""The options of the objectives. Importing this loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_core.validators import between, decay, factor, inside, not_below, time_mean, time_shift, time_std, unit

DERIVATIVES = ("exact", "forward", "central", "backward")
PREDICTIONS = ("velocity", "x")
MIXES = ("step", "sample")
FLOW_TIMES = ("one", "maximum")

_positive = between(0, 1000, above=True)
_guidance = between(1, 1000)


@frozen(kw_only=True)
class AverageConfig:
    """What every objective on average velocities has.

    With `probability` times are an interval: t and r are the larger and the smaller of two draws. Else they are an
    instant, r = t, as in flow matching. `mix` says what draws this: each `step`, for its whole batch and alike on every
    process, or each `sample`. `flow_time` is t at an instant: `one` draw, or the `maximum` of two.

    `derivative` is how du/dt is found. Exactly: `exact` in reverse mode, `forward` in forward mode (for compiled
    networks). By differences over a time of `fd_step`: `central` has two more evaluations, `backward` one. The
    README says what they cost and how far off they are.
    """

    probability: float = field(default=0.25, validator=unit)  # of an interval
    mix: str = field(default="step", validator=validators.in_(MIXES))
    flow_time: str = field(default="one", validator=validators.in_(FLOW_TIMES))
    time_mean: float = field(default=-0.4, validator=time_mean)  # of the normal numbers whose sigmoid is a time
    time_std: float = field(default=1.0, validator=time_std)
    shift: float | None = field(default=None, validator=validators.optional(time_shift))  # None: of the latent
    t_eps: float = field(default=0.05, validator=inside)  # smallest time that a velocity is divided by
    norm_p: float = field(default=1.0, validator=between(0, 10))  # loss / (loss + norm_eps)^norm_p
    norm_eps: float = field(default=0.01, validator=_positive)
    internal_weight: float = field(default=1.0, validator=factor)  # of each further head's loss
    derivative: str = field(default="exact", validator=validators.in_(DERIVATIVES))
    fd_step: float = field(default=0.03, validator=inside)  # in time; smaller ones drown in bf16's rounding


@frozen(kw_only=True)
class MeanFlowConfig(AverageConfig):
    """MeanFlow (arXiv 2505.13447) as DiffusionBench (arXiv 2606.24888) trains it: one draw of t on flow steps.

    The original JAX code has `mix: sample` and `flow_time: maximum`.
    The guidance scale that is learnt is `omega / (1 - kappa)`: 2 by default, none for omega = 1 and kappa = 0.
    """

    omega: float = field(default=1.0, validator=_positive)
    kappa: float = field(default=0.5, validator=decay)


@frozen(kw_only=True)
class RegressionConfig(AverageConfig):
    """Improved MeanFlow (arXiv 2512.02012) with the times of its public JAX code: half of the samples of every batch
    have an interval, and t of the others is the maximum of two draws.

    Pixel MeanFlow (arXiv 2601.22158) is `prediction: x` with `flow_time: one`, as in its public code.
    """

    probability: float = field(default=0.5, validator=unit)
    mix: str = field(default="sample", validator=validators.in_(MIXES))
    flow_time: str = field(default="maximum", validator=validators.in_(FLOW_TIMES))
    prediction: str = field(default="velocity", validator=validators.in_(PREDICTIONS))  # what the network gives


@frozen(kw_only=True)
class ImprovedMeanFlowConfig(RegressionConfig):
    """One guidance, chosen in training: the `scale` (1: none) that is learnt holds for t_min <= t <= t_max."""

    scale: float = field(default=2.0, validator=_guidance)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])


@frozen(kw_only=True)
class CFGConditionedMeanFlowConfig(RegressionConfig):
    """Any guidance, chosen at sampling: scales w are drawn from [1, scale_max] with a density of `w^-scale_power`."""

    scale_max: float = field(default=8.0, validator=_guidance)
    scale_power: float = field(default=1.0, validator=between(0, 100))  # the larger, the fewer high scales


@frozen(kw_only=True)
class CFGConditioningConfig:
    """Guidance as an input of the network: the `scale` (1: none) holds for t_min <= t <= t_max."""

    scale: float = field(default=2.0, validator=_guidance)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
