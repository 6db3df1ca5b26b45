"""Options of the tokenizer `vae`. Does not import torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen, validators

from nanogen_core.errors import UnknownName, listing, near_miss, shown
from nanogen_core.validators import pixels
from nanogen_vae.presets import PRESETS

DEFAULT = "sdvae-mse"


def _known(config: Any, attribute: Any, preset: str | None) -> None:
    if preset is not None and preset not in PRESETS:
        raise UnknownName(
            f"There is no VAE preset {shown(preset)}.{near_miss(preset, PRESETS)} Use one of {listing(PRESETS)}, or "
            f"set `path` to a folder that diffusers saved."
        )


@frozen(kw_only=True)
class VAEConfig:
    """Options of `VAE`.

    Args:
        preset: Name of a published VAE. Without `preset` and `path`, `sdvae-mse` is used.
        path: A local folder, or a name on the Hugging Face hub. With `preset`, it must be a copy of that VAE.
        subfolder: Folder of the VAE within `path`, such as `vae` in a whole pipeline.
        dtype: The dtype of the computation. Latents and images are always float32.
        slicing: Process one image at a time, with the memory of one image. The result does not change.
        tile: Side of a tile in pixels. Larger images are processed in tiles, with the memory of one tile. Tiles overlap
            by a quarter of their side and are blended there. The result differs slightly from the result without
            tiles. AutoencoderDC and AutoencoderTiny do not support tiles.
    """

    preset: str | None = field(default=None, validator=_known)
    path: str | None = None
    subfolder: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    slicing: bool = False
    tile: int | None = field(default=None, validator=validators.optional(pixels))
