"""Finds the recipe of a published configuration by the facts of its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.registry import registry

#: Published tokenizer -> prefix of the names of its recipes.
TOKENIZERS = {
    "sdvae-ema": "sd-vae-ema",
    "sdvae-mse": "sd-vae-mse",
    "sdxl-vae": "sdxl-vae",
    "sd3.5": "sd35-vae",
    "flux": "flux1-vae",
    "flux2": "flux2-vae",
    "qwen-vae": "qwen-image-vae",
    "e2e-flux": "e2e-flux1-vae",
    "e2e-sd3.5": "e2e-sd35-vae",
    "e2e-vavae": "e2e-vavae",
    "e2e-qwen-vae": "e2e-qwen-image-vae",
    "dinov2-vit-b": "dinov2-b",
    "dinov3-vit-b16": "dinov3-b",
    "siglip2-vit-b": "siglip2-b",
    "pe-vit-l": "pe-l",
    "langpe-vit-l": "langpe-l",
    "spatialpe-vit-l": "spatialpe-l",
}
MEANFLOW = {0.5: "meanflow", 0.0: "meanflow-unguided"}  # by kappa


class NoRecipe(Exception):
    """A published configuration without a recipe."""


def recipe_of(row: Mapping[str, Any]) -> str:
    """Return the name of the recipe of a row. Raises NoRecipe if there is none."""
    name = _base(row) + ("-reg" if row["repa"]["use_reg"] else "")
    name += "" if row["image_size"] == 256 else f"-{row['image_size']}"
    if name not in registry().recipes:
        raise NoRecipe(f"there is no recipe {name!r}")
    return name


def _base(row: Mapping[str, Any]) -> str:
    tokenizer, meanflow = row["tokenizer"]["name"], row["meanflow"]
    if meanflow is not None:
        kappa = meanflow["cfg_kappa"]
        return MEANFLOW.get(kappa, f"meanflow-kappa{kappa}")
    if tokenizer != "pixel":
        return TOKENIZERS.get(tokenizer, f"{tokenizer} (an unknown tokenizer)")
    if row["perceptual"] is not None:
        return "pixelgen"
    return "jit" if row["prediction"] == "x" else "pixnerd"
