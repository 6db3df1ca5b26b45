"""Differences between diffusers' autoencoder classes: shape, layout and normalisation of the latent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import Incompatible, listing
from nanogen_vae.normalisation import Affine, affine_of, per_channel
from nanogen_vae.presets import Numbers, Shape


class Family(Protocol):
    """Operations on one autoencoder class. z is a latent before normalisation.

    `model` is the loaded model, and `config` the content of its config.json.
    """

    def shape(self, config: Mapping[str, Any]) -> Shape:
        """Return the number of channels of z, and the number of image pixels along one side of a cell of z."""

    def encode(self, model: Any, images: Tensor) -> Tensor:
        """Encode images [B, 3, H, W] to z [B, C, h, w], not normalised: the mode of the posterior, if there is one."""

    def decode(self, model: Any, z: Tensor) -> Tensor:
        """Decode z [B, C, h, w] to images [B, 3, H, W]."""

    def affine(self, model: Any, numbers: Numbers | None) -> Affine:
        """Return the normalisation of z. `numbers` is the normalisation in the preset, if any."""

    def tile(self, model: Any, side: int) -> None:
        """Set the model to process images larger than `side` pixels in tiles of this side."""


class KL:
    """AutoencoderKL: Stable Diffusion 1 to 3.5, FLUX.1, VA-VAE, and their REPA-E versions."""

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
    """AutoencoderKLFlux2: each 2 x 2 cells of a channel become four channels, in the order channel, row, column.

    The BatchNorm in the model's file normalises the result.
    """

    EPS = 1e-5  # as in DiffusionBench; `batch_norm_eps` of the model is 1e-4

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
    """AutoencoderKLQwenImage: a video VAE, applied to one frame."""

    def shape(self, config: Mapping[str, Any]) -> Shape:
        return Shape(config["z_dim"], 2 ** len(config["temperal_downsample"]))  # spelt like this in config.json

    def encode(self, model: Any, images: Tensor) -> Tensor:
        return super().encode(model, images[:, :, None])[:, :, 0]  # [B, 3, 1, H, W] -> [B, C, 1, h, w]

    def decode(self, model: Any, z: Tensor) -> Tensor:
        return super().decode(model, z[:, :, None])[:, :, 0]

    def tile(self, model: Any, side: int) -> None:
        model.enable_tiling(side, side, side * 3 // 4, side * 3 // 4)  # tiles overlap by a quarter, as in AutoencoderKL


class Deterministic:
    """AutoencoderDC and AutoencoderTiny: z is the encoder's output, without a posterior. They do not support tiles."""

    def shape(self, config: Mapping[str, Any]) -> Shape:
        return Shape(config["latent_channels"], 2 ** (len(config["encoder_block_out_channels"]) - 1))

    def encode(self, model: Any, images: Tensor) -> Tensor:
        z: Tensor = model.encode(images, return_dict=False)[0]
        return z

    def decode(self, model: Any, z: Tensor) -> Tensor:
        images: Tensor = model.decode(z, return_dict=False)[0]
        return images

    def affine(self, model: Any, numbers: Numbers | None) -> Affine:
        return affine_of(model.config, numbers)

    def tile(self, model: Any, side: int) -> None:
        raise Incompatible(f"`tokenizer.tile` is not supported for {type(model).__name__}: leave it out.")


FAMILIES: Mapping[str, Family] = {
    "AutoencoderKL": KL(),
    "AutoencoderKLFlux2": Flux2(),
    "AutoencoderKLQwenImage": QwenImage(),
    "AutoencoderDC": Deterministic(),
    "AutoencoderTiny": Deterministic(),
}


def family_of(class_name: str, path: str) -> Family:
    """Return the family of a diffusers class.

    Args:
        class_name: Name of the class.
        path: Path of the model, for the message.

    Raises:
        Incompatible: The class is not supported.
    """
    if class_name not in FAMILIES:
        raise Incompatible(
            f"The model {path!r} has the class {class_name!r}, which the tokenizer 'vae' does not support. Choose a"
            f" model of one of these classes: {listing(FAMILIES)}."
        )
    return FAMILIES[class_name]
