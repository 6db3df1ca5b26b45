"""Space-to-depth: each latent cell holds the pixels of a square."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_placeholder.config import PlaceholderConfig
    from nanogen_placeholder.tokenizer import Placeholder

__all__ = [
    "Placeholder",
    "PlaceholderConfig",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Placeholder": "tokenizer",
        "PlaceholderConfig": "config",
    },
)
