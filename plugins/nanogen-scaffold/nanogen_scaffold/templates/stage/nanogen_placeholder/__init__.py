"""Trains the backbone and its exponential moving average."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_placeholder.config import PlaceholderConfig
    from nanogen_placeholder.stage import Placeholder

__all__ = [
    "Placeholder",
    "PlaceholderConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Placeholder": "stage",
        "PlaceholderConfig": "config",
    },
)
