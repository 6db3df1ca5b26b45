"""The options of contrastive flow matching. Importing this loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_flow.config import FlowConfig


@frozen(kw_only=True)
class ContrastiveFlowConfig(FlowConfig):
    """Those of the flow, and two more; the defaults are the paper's."""

    repulsion: float = field(default=0.05, validator=[validators.ge(0), validators.lt(1)])  # lambda; 0: plain flow
    calibrated: bool = (
        False  # sampled velocities times 1 - lambda (section 5.4, for latents of zero mean): for guidance
    )
