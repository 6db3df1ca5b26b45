"""Guidances that replace classifier-free guidance: autoguidance, CFG-Zero* and adaptive projected guidance."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_guidance.autoguidance import AutoGuidance
    from nanogen_guidance.config import AutoGuidanceConfig, CFGZeroStarConfig, ProjectedConfig
    from nanogen_guidance.projected import AdaptiveProjected
    from nanogen_guidance.zero_star import CFGZeroStar

__all__ = [
    "AdaptiveProjected",
    "AutoGuidance",
    "AutoGuidanceConfig",
    "CFGZeroStar",
    "CFGZeroStarConfig",
    "ProjectedConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AdaptiveProjected": "projected",
        "AutoGuidance": "autoguidance",
        "AutoGuidanceConfig": "config",
        "CFGZeroStar": "zero_star",
        "CFGZeroStarConfig": "config",
        "ProjectedConfig": "config",
    },
)
