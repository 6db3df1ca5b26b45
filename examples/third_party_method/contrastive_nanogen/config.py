"""Options of contrastive flow matching. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_flow.config import FlowConfig


@frozen(kw_only=True)
class ContrastiveFlowConfig(FlowConfig):
    """Options of the objective `contrastive-flow`: those of `flow`, and two more.

    Args:
        repulsion: lambda, in [0, 1). 0 is plain flow matching.
        calibrated: Whether to multiply sampled velocities by 1 - lambda (section 5.4 of the paper), which is exact for
            latents of zero mean. Guidance scales then have the same effect as for plain flows.
    """

    repulsion: float = field(default=0.05, validator=[validators.ge(0), validators.lt(1)])
    calibrated: bool = False
