"""What differs between diffusers' autoencoder classes: the latent's shape, its layout, and its normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import Incompatible, listing
from nanogen_vae.normalisation import Affine, affine_of, per_channel
from nanogen_vae.presets import Numbers, Shape


class Family(Protocol):
    """How one autoencoder class is used. `model` is the loaded model, `config` the content of its config.json."""

    def shape(self, config: Mapping[str, Any]) -> Shape:
        """Channels and factor of what `encode` gives."""

    def encode(self, model: Any, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> the mode of the posterior [B, C, h, w], not normalised."""

    def decode(self, model: Any, z: Tensor) -> Tensor:
        """What `encode` gives [B, C, h, w] -> images [B, 3, H, W]."""

    def affine(self, model: Any, numbers: Numbers | None) -> Affine:
        """The normalisation of z; `numbers` are those of the preset."""

    def tile(self, model: Any, side: int) -> None:
        """Has images that are larger than `side` pixels encoded and decoded in tiles of it."""


class KL:
    """AutoencoderKL: Stable Diffusion 1 to 3.5, FLUX.1, VA-VAE, and what REPA-E tuned of them."""

    def shape(self, config: Mapping[str, Any]) -> Shape:
        return Shape(config["latent_channels"], 2 ** (len(config["block_out_channels"]) - 1))

    def encode(self, model: Any, images: Tensor) -> Tensor:
        z: Tensor = model.encode(images).latent_dist.mode()
        return z

    def decode(self, model: Any, z: Tensor) -> Tensor:
        images: Tensor = model.decode(z).sample
        return images

    def affine(self, model: Any, numbers: Numbers | None) -> Affine:
        return affine_of(model.config, numbers)

    def tile(self, model: Any, side: int) -> None:
        model.enable_tiling()
        model.tile_sample_min_size = side
        model.tile_latent_min_size = side // KL.shape(self, model.config).factor


class Flux2(KL):
    """AutoencoderKLFlux2: 2 x 2 cells become channels (`c, row, column`), normalised by the file's BatchNorm."""

    EPS = 1e-5  # of the published recipe; the files' own batch_norm_eps is 1e-4

    def shape(self, config: Mapping[str, Any]) -> Shape:
        channels, factor = super().shape(config)
        return Shape(4 * channels, 2 * factor)

    def encode(self, model: Any, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(super().encode(model, images), 2)  # [B, C, H, W] -> [B, 4 C, H / 2, W / 2]

    def decode(self, model: Any, z: Tensor) -> Tensor:
        return super().decode(model, F.pixel_shuffle(z, 2))

    def affine(self, model: Any, numbers: Numbers | None) -> Affine:
        variance = per_channel(model.bn.running_var)
        return Affine(per_channel(model.bn.running_mean), (variance + self.EPS).rsqrt())


class QwenImage(KL):
    """AutoencoderKLQwenImage: a video VAE, fed one frame."""

    def shape(self, config: Mapping[str, Any]) -> Shape:
        return Shape(config["z_dim"], 2 ** len(config["temperal_downsample"]))  # the config's own spelling

    def encode(self, model: Any, images: Tensor) -> Tensor:
        return super().encode(model, images[:, :, None])[:, :, 0]  # [B, 3, 1, H, W] -> [B, C, 1, h, w]

    def decode(self, model: Any, z: Tensor) -> Tensor:
        return super().decode(model, z[:, :, None])[:, :, 0]

    def tile(self, model: Any, side: int) -> None:
        model.enable_tiling(side, side, side * 3 // 4, side * 3 // 4)  # the others' overlap: a quarter


FAMILIES: Mapping[str, Family] = {
    "AutoencoderKL": KL(),
    "AutoencoderKLFlux2": Flux2(),
    "AutoencoderKLQwenImage": QwenImage(),
}


def family_of(class_name: str, path: str) -> Family:
    """The family of a diffusers class. Raises Incompatible for a class that is none of them."""
    if class_name not in FAMILIES:
        raise Incompatible(
            f"The model {path!r} is of the class {class_name!r}, which the tokenizer 'vae' cannot use: choose one of "
            f"{listing(FAMILIES)}."
        )
    return FAMILIES[class_name]
