"""Mean contrast of the images, and the share of nearly uniform images."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_placeholder.config import PlaceholderConfig
    from nanogen_placeholder.metric import Placeholder

__all__ = [
    "Placeholder",
    "PlaceholderConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Placeholder": "metric",
        "PlaceholderConfig": "config",
    },
)
