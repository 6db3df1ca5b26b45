"""Rectified flow objective for NanoGen."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_flow.config import FlowConfig
    from nanogen_flow.objective import Flow

__all__ = [
    "Flow",
    "FlowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Flow": "objective",
        "FlowConfig": "config",
    },
)
