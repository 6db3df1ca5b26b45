"""Options of the objective. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import factor
from nanogen_flow.config import FlowConfig


@frozen(kw_only=True)
class DirectionFlowConfig(FlowConfig):
    """Options of the objective `direction-flow`: those of `flow`, and one more.

    Args:
        direction: Weight of the loss of the direction. 0 is plain flow matching.
    """

    direction: float = field(default=1.0, validator=factor)
