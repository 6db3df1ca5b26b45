"""Options of the losses. Does not import torch."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen, validators

from nanogen_core.validators import at_least, between, decay, factor, unit
from nanogen_flow.config import FlowConfig

_block = at_least(1, 1000)
_positive = between(0, 1000, above=True)


@frozen(kw_only=True)
class DispersiveConfig:
    """Options of `Dispersive`. The defaults follow the paper (arXiv 2506.09027).

    The authors' PyTorch code has `weight: 0.25, tau: 1.0` and the last block.

    Args:
        block: Backbone block whose output is dispersed, counted from 1. Null uses the block at a quarter of the depth.
        weight: Weight of the loss.
        tau: Temperature.
        gather: Compare the samples of all processes. False compares the samples of one micro-batch, as in the paper.
    """

    block: int | None = field(default=None, validator=validators.optional(_block))
    weight: float = field(default=0.5, validator=factor)
    tau: float = field(default=0.5, validator=_positive)
    gather: bool = False


@frozen(kw_only=True)
class SelfAlignmentConfig:
    """Options of `SelfAlignment`. The defaults follow the paper (arXiv 2505.02831) for SiT-XL/2.

    The paper uses `block: 4, teacher_block: 8` for B, and 8 and 16 for L. The authors now advise
    `distance: cosine, weight: 0.5`.

    Args:
        block: Backbone block that is aligned, counted from 1.
        teacher_block: Block of the EMA backbone that `block` is aligned with.
        interval: Largest difference k of the times: the teacher's time is uniform in [t - k, t], and at least 0.
        weight: Weight of the loss.
        distance: "smooth-l1", or "cosine": 1 minus the cosine similarity.
        beta: The smooth L1 distance is quadratic for differences below beta.
    """

    block: int = field(default=8, validator=_block)
    teacher_block: int = field(default=20, validator=_block)
    interval: float = field(default=0.2, validator=unit)
    weight: float = field(default=0.2, validator=factor)
    distance: Literal["smooth-l1", "cosine"] = "smooth-l1"
    beta: float = field(default=0.05, validator=_positive)


@frozen(kw_only=True)
class ContrastiveFlowConfig(FlowConfig):
    """Options of `ContrastiveFlow`: the options of `flow`, and two more.

    Args:
        repulsion: Factor lambda of the squared distance to the velocity of another sample, in [0, 1). 0 is plain flow
            matching.
        calibrated: Whether to multiply predicted velocities by 1 - lambda (section 5.4 of the paper). This correction
            is exact for latents of zero mean. With it, guidance scales have the same effect as for plain flows.
    """

    repulsion: float = field(default=0.05, validator=decay)
    calibrated: bool = False
