"""EDM objective for NanoGen."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_edm.config import EDMConfig
    from nanogen_edm.objective import EDM

__all__ = [
    "EDM",
    "EDMConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "EDM": "objective",
        "EDMConfig": "config",
    },
)
