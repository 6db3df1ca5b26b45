"""MeanFlow, improved MeanFlow and pixel MeanFlow: average velocities for sampling in one or two steps."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_meanflow.cfg_conditioned import CFGConditionedMeanFlow, CFGConditioning
    from nanogen_meanflow.config import (
        CFGConditionedMeanFlowConfig,
        CFGConditioningConfig,
        ImprovedMeanFlowConfig,
        MeanFlowConfig,
    )
    from nanogen_meanflow.improved import ImprovedMeanFlow
    from nanogen_meanflow.meanflow import MeanFlow

__all__ = [
    "CFGConditionedMeanFlow",
    "CFGConditionedMeanFlowConfig",
    "CFGConditioning",
    "CFGConditioningConfig",
    "ImprovedMeanFlow",
    "ImprovedMeanFlowConfig",
    "MeanFlow",
    "MeanFlowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ImprovedMeanFlow": "improved",
        "ImprovedMeanFlowConfig": "config",
        "MeanFlow": "meanflow",
        "MeanFlowConfig": "config",
        "CFGConditioning": "cfg_conditioned",
        "CFGConditioningConfig": "config",
        "CFGConditionedMeanFlow": "cfg_conditioned",
        "CFGConditionedMeanFlowConfig": "config",
    },
)
