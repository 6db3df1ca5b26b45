"""AlphaFlow: a curriculum from trajectory flow matching to MeanFlow."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_alphaflow.config import AlphaFlowConfig
    from nanogen_alphaflow.objective import AlphaFlow

__all__ = [
    "AlphaFlow",
    "AlphaFlowConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AlphaFlow": "objective",
        "AlphaFlowConfig": "config",
    },
)
