"""Training data: loaders, labels, captions, corrupt samples, precomputed latents."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_data.loader import iter_once
    from nanogen_data.precomputed.latents import Latents

__all__ = [
    "Latents",
    "iter_once",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Latents": "precomputed.latents",
        "iter_once": "loader",
    },
)
