"""Tokenizer of latent diffusion (Rombach et al., arXiv 2112.10752): a frozen VAE."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.errors import DataError, Incompatible
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_vae.config import DEFAULT, VAEConfig
from nanogen_vae.families import Family, family_of
from nanogen_vae.normalisation import Affine
from nanogen_vae.presets import PRESETS, Preset, Shape
from nanogen_vae.source import Source


class VAE:
    """Frozen VAE. The first call of `encode`, `decode`, `weights` or `library_models` loads the weights.

    Latents are the normalised mode of the posterior. For AutoencoderDC and AutoencoderTiny, which have no posterior,
    they are the normalised output of the encoder.

    Args:
        config: Options of the tokenizer.

    Example:
        >>> vae = VAE(VAEConfig(preset="sdvae-mse"))
        >>> vae.encode(images).shape  # images [B, 3, 256, 256] -> [B, 4, 32, 32]
    """

    def __init__(self, config: VAEConfig):
        self._config = config
        self._preset = _preset(config)
        self._source = _source(config, self._preset)
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> VAE:
        """Move the model to a device. Returns the tokenizer itself."""
        self._device = torch.device(device)
        return self

    def latent(self, image_size: int) -> LatentSpec:
        """Return the shape of the latent, from the preset or the config.json at `path`. Does not load weights.

        Raises:
            Incompatible: `image_size` is not a multiple of the factor, `tile` is not a multiple of four times the
                factor, or the class of the model is not supported.
            DataError: The file config.json is missing, or does not define the shape.
        """
        channels, factor = self._shape
        if image_size % factor or image_size <= 0:
            near = max(factor, image_size // factor * factor)
            raise Incompatible(
                f"The image size must be a multiple of {factor} for the VAE {self._name!r}, got {image_size}. "
                f"Set `image_size` to {near} or {near + factor}."
            )
        self._refuse_broken_tiles(factor)
        side = image_size // factor
        return LatentSpec(channels=channels, height=side, width=side, factor=factor)

    def _refuse_broken_tiles(self, factor: int) -> None:
        """Raise Incompatible unless a quarter of a tile, the overlap of tiles, is a whole number of cells."""
        tile, unit = self._config.tile, 4 * factor
        if tile is not None and tile % unit:
            near = max(unit, tile // unit * unit)
            raise Incompatible(
                f"`tokenizer.tile` must be a multiple of {unit} for the VAE {self._name!r}, got {tile}. "
                f"Set it to {near} or {near + unit}."
            )

    def weights(self) -> Mapping[str, Tensor]:
        """Return all tensors of the model, including the decoder. Raises DataError if the weights are missing."""
        return dict(self._model.state_dict())

    def files(self) -> list[Path]:
        """Return config.json, which may define the normalisation of the latents. Raises DataError if it is missing."""
        return [self._source.config_file()]

    def library_models(self) -> Mapping[str, Any]:
        """Return the model of diffusers as `{"vae": model}`."""
        return {"vae": self._loaded}

    def set_library_models(self, models: Mapping[str, Any]) -> None:
        """Use `models["vae"]`, if given, instead of loading the model."""
        if "vae" in models:
            self.__dict__["_loaded"] = self._prepared(models["vae"].to(self._dtype))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] in [-1, 1] to latents [B, C, h, w], float32, without gradient."""
        z = self._family.encode(self._model, images.to(self._dtype)).float()
        return self._affine.apply(z)

    def decode(self, latents: Tensor, rng: KeyedRNG | None = None) -> Tensor:
        """Decode latents [B, C, h, w] to images [B, 3, H, W], float32, about [-1, 1], not clamped. `rng` is unused."""
        z = self._affine.denormalize(latents.float())
        return self._family.decode(self._model, z.to(self._dtype)).float()

    @property
    def _name(self) -> str:
        return self._config.path or self._config.preset or DEFAULT

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self._config.dtype)
        return dtype

    @cached_property
    def _shape(self) -> Shape:
        if self._preset is not None:
            return self._preset.shape
        try:
            return self._family.shape(self._file)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"The config.json of {self._name!r} does not define the shape of its latents ({error})."
                " Save the model again with diffusers."
            ) from error

    @cached_property
    def _file(self) -> dict[str, Any]:
        return self._source.config()

    @cached_property
    def _family(self) -> Family:
        return family_of(self._file.get("_class_name", "unknown"), self._source.path)

    @cached_property
    def _affine(self) -> Affine:
        return self._family.affine(self._model, self._preset.numbers if self._preset else None)

    @cached_property
    def _loaded(self) -> Any:
        return self._prepared(self._source.load(self._file["_class_name"], self._dtype))

    def _prepared(self, model: Any) -> Any:
        if self._config.slicing:
            model.enable_slicing()
        if self._config.tile is not None:
            self._family.tile(model, self._config.tile)
        return model.eval().requires_grad_(False)

    @property
    def _model(self) -> Any:
        return self._loaded.to(self._device)


def _preset(config: VAEConfig) -> Preset | None:
    """Return the preset. None if only `path` is set: then config.json has all numbers."""
    if config.preset is None and config.path is not None:
        return None
    return PRESETS[config.preset or DEFAULT]


def _source(config: VAEConfig, preset: Preset | None) -> Source:
    if config.path is not None or preset is None:
        return Source(str(config.path), config.subfolder)
    return Source(preset.path, config.subfolder or preset.subfolder)
