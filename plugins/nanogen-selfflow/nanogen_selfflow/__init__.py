"""Self-Flow: flow matching with two times per sample, and alignment with the EMA network."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_selfflow.alignment import SelfAlignment
    from nanogen_selfflow.config import SelfAlignmentConfig, SelfFlowConfig
    from nanogen_selfflow.objective import SelfFlow

__all__ = [
    "SelfAlignment",
    "SelfAlignmentConfig",
    "SelfFlow",
    "SelfFlowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "SelfAlignment": "alignment",
        "SelfAlignmentConfig": "config",
        "SelfFlow": "objective",
        "SelfFlowConfig": "config",
    },
)
