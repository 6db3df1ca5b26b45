"""Options of the guidances. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import between, count_or_none, factor, guidance_scale, not_below, unit


def _named(instance: object, attribute: object, value: str) -> None:
    if not value.strip():
        raise ValueError("pipeline: must be the folder of a run or saved pipeline, such as runs/weak")


@frozen(kw_only=True)
class AutoGuidanceConfig:
    """Options of `AutoGuidance`.

    Args:
        pipeline: The weaker model: the folder of a run, a folder that `Pipeline.save` wrote, or an address
            hf://user/name.
        scale: Guidance scale w; 1 means no guidance. The default is the paper's for EDM2-S at 512 px.
        t_min, t_max: Interval of times with guidance, both ends included.
    """

    pipeline: str = field(validator=_named)
    scale: float = field(default=2.1, validator=guidance_scale)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])


@frozen(kw_only=True)
class CFGZeroStarConfig:
    """Options of `CFGZeroStar`.

    Args:
        scale: Guidance scale w; 1 means no guidance and no zero-init. The paper uses each model's usual scale.
        zero_steps: The velocity is zero at this many times t at the start of sampling. For samplers with one
            evaluation per step, these are the first steps. The paper recommends 4% of the steps.
        t_min, t_max: Interval of times with guidance, both ends included. Zero-init does not depend on it.
    """

    scale: float = field(default=4.0, validator=guidance_scale)
    zero_steps: int = field(default=1, validator=count_or_none)
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])


@frozen(kw_only=True)
class ProjectedConfig:
    """Options of `AdaptiveProjected`.

    Args:
        scale: Guidance scale w; 1 means no guidance. The paper uses each model's usual scale and higher ones.
        parallel: Factor eta of the component of the update that is parallel to the conditional prediction. 1 keeps the
            component, 0 removes it.
        norm: Largest norm r of the update; 0 for no limit. The norm is over all values of a latent, so r should grow
            with the square root of their number.
        momentum: Momentum beta, negative to turn away from earlier updates; 0 for none.
        t_min, t_max: Interval of times with guidance, both ends included.
    """

    scale: float = field(default=4.0, validator=guidance_scale)
    parallel: float = field(default=0.0, validator=factor)
    norm: float = field(default=5.0, validator=factor)
    momentum: float = field(default=-0.5, validator=between(-1, 1, above=True, below=True))
    t_min: float = field(default=0.0, validator=unit)
    t_max: float = field(default=1.0, validator=[unit, not_below("t_min")])
