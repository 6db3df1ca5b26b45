"""Table of the published VAEs, with the shapes of their latents. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Shape(NamedTuple):
    """Shape of a latent: the number of channels, and the number of image pixels along one side of a cell."""

    channels: int
    factor: int


class Numbers(NamedTuple):
    """Normalisation `latent = (mode - shift) * scale` of the mode of the posterior."""

    shift: float
    scale: float


class Preset(NamedTuple):
    """Location of a VAE on the Hugging Face hub, and the shape and normalisation of its latent."""

    path: str
    subfolder: str | None
    shape: Shape
    numbers: Numbers | None = None  # None: those of its config.json


_SD = Numbers(0.0, 0.18215)
_SDXL = Numbers(0.0, 0.13025)

PRESETS: Mapping[str, Preset] = {
    "sdvae-ema": Preset("stabilityai/sd-vae-ft-ema", None, Shape(4, 8), _SD),
    "sdvae-mse": Preset("stabilityai/sd-vae-ft-mse", None, Shape(4, 8), _SD),
    "sdxl-vae": Preset("madebyollin/sdxl-vae-fp16-fix", None, Shape(4, 8), _SDXL),
    "sd3.5": Preset("stabilityai/stable-diffusion-3.5-large", "vae", Shape(16, 8)),
    "flux": Preset("black-forest-labs/FLUX.1-dev", "vae", Shape(16, 8)),
    "flux2": Preset("black-forest-labs/FLUX.2-dev", "vae", Shape(128, 16)),
    "qwen-vae": Preset("Qwen/Qwen-Image", "vae", Shape(16, 8)),
    "e2e-flux": Preset("REPA-E/e2e-flux-vae", None, Shape(16, 8)),
    "e2e-sd3.5": Preset("REPA-E/e2e-sd3.5-vae", None, Shape(16, 8)),
    "e2e-vavae": Preset("REPA-E/e2e-vavae-hf", None, Shape(32, 16)),
    "e2e-qwen-vae": Preset("REPA-E/e2e-qwenimage-vae", None, Shape(16, 8)),
    "e2e-sdvae-mse": Preset("REPA-E/e2e-sdvae-hf", None, Shape(4, 8)),
}
