"""JiT (arXiv 2511.13720): a plain transformer on pixels that predicts the clean image."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_jit.config import JiTConfig, ScaledPixelConfig
    from nanogen_jit.network import JiT
    from nanogen_jit.published import from_published, to_published
    from nanogen_jit.tokenizer import ScaledPixel

__all__ = [
    "JiT",
    "JiTConfig",
    "ScaledPixel",
    "ScaledPixelConfig",
    "from_published",
    "to_published",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "JiT": "network",
        "JiTConfig": "config",
        "ScaledPixel": "tokenizer",
        "ScaledPixelConfig": "config",
        "from_published": "published",
        "to_published": "published",
    },
)
