"""Options of the tokenizer `vae`. Loads no torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen

from nanogen_core.errors import UnknownName, listing, near_miss
from nanogen_vae.presets import PRESETS

DEFAULT = "sdvae-mse"


def _known(config: Any, attribute: Any, preset: str | None) -> None:
    if preset is not None and preset not in PRESETS:
        raise UnknownName(
            f"There is no VAE preset {preset!r}.{near_miss(preset, PRESETS)} Presets: {listing(PRESETS)}; or set "
            f"`path` to a folder that diffusers saved."
        )


@frozen(kw_only=True)
class VAEConfig:
    """`preset`: a published VAE; `sdvae-mse` where there is no `path` either.

    `path`: a local folder, or a name on the Hugging Face hub. With a `preset`, it is a copy of that one.
    `subfolder`: where in `path` the VAE lies (`vae` in the folder of a whole pipeline).
    `dtype`: what the VAE computes in; latents and images are float32 always.
    """

    preset: str | None = field(default=None, validator=_known)
    path: str | None = None
    subfolder: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
