"""L1 distance between the predicted and the clean latent."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_placeholder.auxiliary import Placeholder
    from nanogen_placeholder.config import PlaceholderConfig

__all__ = [
    "Placeholder",
    "PlaceholderConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Placeholder": "auxiliary",
        "PlaceholderConfig": "config",
    },
)
