"""Options of the tokenizer `vae`. Loads no torch."""

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
            f"There is no VAE preset {shown(preset)}.{near_miss(preset, PRESETS)} Presets: {listing(PRESETS)}; or set "
            f"`path` to a folder that diffusers saved."
        )


@frozen(kw_only=True)
class VAEConfig:
    """`preset`: a published VAE; `sdvae-mse` where there is no `path` either.

    `path`: a local folder, or a name on the Hugging Face hub. With a `preset`, it is a copy of that one.
    `subfolder`: where in `path` the VAE lies (`vae` in the folder of a whole pipeline).
    `dtype`: what the VAE computes in; latents and images are float32 always.
    `slicing`: one image at a time, to the same result, in the memory of one.
    `tile`: the side in pixels of overlapping tiles that larger images are cut into, blended over a quarter of it: the
    memory of one tile, to a result that is near that of the whole, not equal (published latents have none).
    """

    preset: str | None = field(default=None, validator=_known)
    path: str | None = None
    subfolder: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    slicing: bool = False
    tile: int | None = field(default=None, validator=validators.optional(pixels))
