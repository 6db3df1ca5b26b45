"""TrigFlow, and continuous-time consistency models (sCM) with their sampler."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_consistency.config import ConsistencySamplerConfig, SCMConfig, TrigFlowConfig
    from nanogen_consistency.sampler import ConsistencySampler
    from nanogen_consistency.scm import SCM
    from nanogen_consistency.trigflow import TrigFlow

__all__ = [
    "SCM",
    "ConsistencySampler",
    "ConsistencySamplerConfig",
    "SCMConfig",
    "TrigFlow",
    "TrigFlowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ConsistencySampler": "sampler",
        "ConsistencySamplerConfig": "config",
        "SCM": "scm",
        "SCMConfig": "config",
        "TrigFlow": "trigflow",
        "TrigFlowConfig": "config",
    },
)
