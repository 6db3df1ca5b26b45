"""Options of the MeanFlow objectives and their guidance. Does not import torch."""

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
class AverageVelocityConfig:
    """Options that all MeanFlow objectives share.

    Args:
        probability: Probability that r < t. Then t is the larger and r the smaller of two draws. Otherwise r = t, as
            in flow matching.
        mix: Whether r < t is drawn for each "step" (all samples on all processes alike) or each "sample".
        flow_time: How t is drawn if r = t: "one" draw, or the "maximum" of two draws.
        time_mean, time_std: Mean and standard deviation of logit(t) before the shift.
        shift: Time shift. A value above 1 makes large t (more noise) more frequent. Null uses sqrt(C h w / 4096) for
            latents [C, h, w].
        t_eps: Velocities are `(x_t - data) / max(t, t_eps)`.
        norm_p, norm_eps: The loss of a sample is `e / (sg(e) + norm_eps)^norm_p`. e is its squared error, summed over
            the latent.
        internal_weight: Weight of the loss of each additional head (internal guidance).
        derivative: Method for du/dt. Exact: "exact" (reverse mode, not for compiled networks), "forward" (forward mode;
            du/dt itself is not compiled). Finite differences: "central" (two more evaluations), "backward" (one more).
            The README lists cost and error of each.
        fd_step: Time step of the finite differences. Use at least 0.03 with bf16: rounding errors dominate below 0.03.
    """

    probability: float = field(default=0.25, validator=unit)
    mix: str = field(default="step", validator=validators.in_(MIXES))
    flow_time: str = field(default="one", validator=validators.in_(FLOW_TIMES))
    time_mean: float = field(default=-0.4, validator=time_mean)
    time_std: float = field(default=1.0, validator=time_std)
    shift: float | None = field(default=None, validator=validators.optional(time_shift))
    t_eps: float = field(default=0.05, validator=inside)
    norm_p: float = field(default=1.0, validator=between(0, 10))
    norm_eps: float = field(default=0.01, validator=_positive)
    internal_weight: float = field(default=1.0, validator=factor)
    derivative: str = field(default="exact", validator=validators.in_(DERIVATIVES))
    fd_step: float = field(default=0.03, validator=inside)


@frozen(kw_only=True)
class MeanFlowConfig(AverageVelocityConfig):
    """Options of MeanFlow (arXiv 2505.13447). The defaults follow DiffusionBench (arXiv 2606.24888).

    The original JAX code has `mix: sample` and `flow_time: maximum`.

    Args:
        omega, kappa: Weights of v and of u(z, t, t | c) in the guided target, see `MeanFlow`. The guidance scale is
            `omega / (1 - kappa)`. omega = 1 and kappa = 0 train without guidance.
    """

    omega: float = field(default=1.0, validator=_positive)
    kappa: float = field(default=0.5, validator=decay)


@frozen(kw_only=True)
class ImprovedMeanFlowBaseConfig(AverageVelocityConfig):
    """Options that the improved MeanFlow objectives share. The defaults follow the public JAX code.

    Pixel MeanFlow (arXiv 2601.22158) is `prediction: x` with `flow_time: one`, as in its public code.

    Args:
        prediction: What the network predicts: the average "velocity", or the data "x".
    """

    probability: float = field(default=0.5, validator=unit)
    mix: str = field(default="sample", validator=validators.in_(MIXES))
    flow_time: str = field(default="maximum", validator=validators.in_(FLOW_TIMES))
    prediction: str = field(default="velocity", validator=validators.in_(PREDICTIONS))


@frozen(kw_only=True)
class ImprovedMeanFlowConfig(ImprovedMeanFlowBaseConfig):
    """Options of improved MeanFlow with one guidance scale, fixed in training.

    Args:
        scale: Guidance scale w of the target. 1 is no guidance.
        t_min, t_max: Interval of times with guidance, both ends included.
    """

    scale: float = field(default=2.0, validator=_guidance)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])


@frozen(kw_only=True)
class CFGConditionedMeanFlowConfig(ImprovedMeanFlowBaseConfig):
    """Options of improved MeanFlow with the guidance as an input of the network.

    Args:
        scale_max, scale_power: Training scales w have a density proportional to `w^-scale_power` on [1, scale_max].
    """

    scale_max: float = field(default=8.0, validator=_guidance)
    scale_power: float = field(default=1.0, validator=between(0, 100))


@frozen(kw_only=True)
class CFGConditioningConfig:
    """The guidance inputs of a CFG-conditioned network at sampling.

    Args:
        scale: Guidance scale w. 1 is no guidance.
        t_min, t_max: Interval of times with guidance, both ends included.
    """

    scale: float = field(default=2.0, validator=_guidance)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
