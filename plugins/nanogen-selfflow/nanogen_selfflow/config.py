"""Options of Self-Flow. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import at_least, between, factor
from nanogen_flow.config import FlowConfig

_block = at_least(1, 1000)


@frozen(kw_only=True)
class SelfFlowConfig(FlowConfig):
    """Options of `SelfFlow`: the options of flow matching, and the fraction of tokens with the second time.

    Args:
        mask_ratio: Fraction of the image tokens with the second time. Each of the two times has at least one token.
    """

    mask_ratio: float = field(default=0.25, validator=between(0, 1, above=True, below=True))


@frozen(kw_only=True)
class SelfAlignmentConfig:
    """Options of `SelfAlignment`. The default blocks are for the published model of 28 blocks.

    Args:
        block: Number of the student's block, counted from 1. The head projects its output.
        teacher_block: Number of the EMA network's block, counted from 1. Its output is the target.
        weight: Weight of the loss.
    """

    block: int = field(default=8, validator=_block)
    teacher_block: int = field(default=20, validator=_block)
    weight: float = field(default=0.8, validator=factor)
