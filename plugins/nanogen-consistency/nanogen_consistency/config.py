"""Options of TrigFlow, sCM and the consistency sampler. Does not import torch."""

from __future__ import annotations

from itertools import pairwise

from attrs import Attribute, field, frozen, validators

from nanogen_core.validators import between, count_or_none, factor, guidance_scale, inside, positive, sampling_steps
from nanogen_meanflow.config import DERIVATIVES


def _decreasing(_: object, attribute: Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if not all(0 < t < 1 for t in value) or any(t <= r for t, r in pairwise(value)):
        raise ValueError(f"{attribute.name}: the values must decrease and be above 0 and below 1, got {list(value)}")


@frozen(kw_only=True)
class TrigFlowConfig:
    """Options of `TrigFlow` (arXiv 2410.11081). The noise levels follow the paper's ImageNet models at 64 px.

    Args:
        data_std: Standard deviation of the latents. Null uses 0.5 for pixels and 1 for other latents.
        level_mean, level_std: Mean and standard deviation of ln(sigma) in training. sigma is the noise level for data
            of standard deviation 0.5, as in the paper: the angle is arctan(sigma / 0.5).
        adaptive_weight: Learn the weight of the loss as a function of time (paper, section 4.3).
        cls_token_weight: Weight of the class token's loss (REG).
        internal_weight: Weight of the loss of each additional head (internal guidance).
    """

    data_std: float | None = field(default=None, validator=validators.optional(positive))
    level_mean: float = field(default=-0.8, validator=between(-20, 20))
    level_std: float = field(default=1.6, validator=between(0, 20, above=True))
    adaptive_weight: bool = True
    cls_token_weight: float = field(default=0.03, validator=factor)
    internal_weight: float = field(default=1.0, validator=factor)


@frozen(kw_only=True)
class SCMConfig(TrigFlowConfig):
    """Options of `SCM` (arXiv 2410.11081, Algorithm 1).

    The noise levels follow the paper's consistency training on CIFAR-10.

    Args:
        tangent_warmup: Number of steps in which the factor r of the tangent's second term grows from 0 to 1. 0
            means r = 1 in every step.
        tangent_constant: Constant c of the tangent normalization g / (|g| + c).
        teacher: Folder of a run or pipeline that was trained with `trigflow`, for consistency distillation. Null trains
            on data (consistency training).
        teacher_scale: Scale of classifier-free guidance in the teacher's velocity. 1 means no guidance.
        derivative: Method for dF/da, as for du/dt of MeanFlow: "exact", "forward", "central" or "backward".
        fd_step: Step of the finite differences in the angle.
    """

    level_mean: float = field(default=-1.0, validator=between(-20, 20))
    level_std: float = field(default=1.4, validator=between(0, 20, above=True))
    tangent_warmup: int = field(default=10_000, validator=count_or_none)
    tangent_constant: float = field(default=0.1, validator=positive)
    teacher: str | None = None
    teacher_scale: float = field(default=1.0, validator=guidance_scale)
    derivative: str = field(default="exact", validator=validators.in_(DERIVATIVES))
    fd_step: float = field(default=0.03, validator=inside)


@frozen(kw_only=True)
class ConsistencySamplerConfig:
    """Options of `ConsistencySampler`.

    Args:
        steps: Number of steps, each one evaluation of the network.
        times: Decreasing times to which the sample is noised again. Used for `len(times) + 1` steps; other numbers of
            steps use the objective's grid. 0.7 is the paper's angle of 1.1.
    """

    steps: int = field(default=2, validator=sampling_steps)
    times: tuple[float, ...] = field(default=(0.7,), validator=_decreasing)
