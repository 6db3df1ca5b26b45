"""Diffusion on pixels: the identity tokenizer, the methods JiT, PixNerd and PixelGen, and perceptual losses."""

from typing import TYPE_CHECKING

from nanogen_files.exports import lazy_exports

if TYPE_CHECKING:
    from nanogen_pixel.config import ConvNeXtConfig, LpipsConfig, PatchTokensConfig
    from nanogen_pixel.convnext import ConvNeXt
    from nanogen_pixel.lpips import Lpips
    from nanogen_pixel.patch_tokens import PatchTokens
    from nanogen_pixel.tokenizer import Pixel

__all__ = [
    "ConvNeXt",
    "ConvNeXtConfig",
    "Lpips",
    "LpipsConfig",
    "PatchTokens",
    "PatchTokensConfig",
    "Pixel",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ConvNeXt": "convnext",
        "ConvNeXtConfig": "config",
        "Lpips": "lpips",
        "LpipsConfig": "config",
        "PatchTokens": "patch_tokens",
        "PatchTokensConfig": "config",
        "Pixel": "tokenizer",
    },
)
