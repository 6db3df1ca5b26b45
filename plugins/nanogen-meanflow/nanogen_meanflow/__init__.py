"""MeanFlow and what grew out of it: networks that predict average velocities, and sample in a jump or two."""

from typing import TYPE_CHECKING

from nanogen_core.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_meanflow.config import ImprovedMeanFlowConfig, MeanFlowConfig, ToldGuidanceConfig, ToldMeanFlowConfig
    from nanogen_meanflow.improved import ImprovedMeanFlow
    from nanogen_meanflow.meanflow import MeanFlow
    from nanogen_meanflow.told import ToldGuidance, ToldMeanFlow

__all__ = [
    "ImprovedMeanFlow",
    "ImprovedMeanFlowConfig",
    "MeanFlow",
    "MeanFlowConfig",
    "ToldGuidance",
    "ToldGuidanceConfig",
    "ToldMeanFlow",
    "ToldMeanFlowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ImprovedMeanFlow": "improved",
        "ImprovedMeanFlowConfig": "config",
        "MeanFlow": "meanflow",
        "MeanFlowConfig": "config",
        "ToldGuidance": "told",
        "ToldGuidanceConfig": "config",
        "ToldMeanFlow": "told",
        "ToldMeanFlowConfig": "config",
    },
)
