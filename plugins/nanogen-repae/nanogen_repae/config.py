"""Options of the tokenizer `batch-norm-vae` and the stage `repa-e`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import Attribute, field, frozen

from nanogen_core.errors import shown
from nanogen_core.validators import between, decay, factor, inside
from nanogen_train.stages.diffusion_settings import DiffusionConfig


def _is_slot(_: object, attribute: Attribute[Any], value: Any) -> None:
    name = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, str):
        raise ValueError(
            f"{attribute.name}: expected the name of an autoencoder, or a mapping with a `name`, got {shown(value)}"
        )


@frozen(kw_only=True)
class KLConfig:
    """Options of the autoencoder `kl`, an AutoencoderKL of diffusers.

    Args:
        path: A local folder, or a name on the Hugging Face hub.
        subfolder: Folder of the VAE within `path`, such as `vae` in a whole pipeline.
    """

    path: str = "stabilityai/sd-vae-ft-mse"
    subfolder: str | None = None


@frozen(kw_only=True)
class BatchNormVAEConfig:
    """Options of `BatchNormVAE`. The defaults follow the published REPA-E code.

    Args:
        vae: The autoencoder, by name or as a mapping with a `name` and options.
        weights: Weights that REPA-E trained: the folder of a run, or its `tokenizer.safetensors`. Null keeps
            the weights of `vae`.
        eps: Added to the variance.
        momentum: Weight of a batch in the running statistics.
    """

    vae: Any = field(default="kl", validator=_is_slot)
    weights: str | None = None
    eps: float = field(default=1e-4, validator=inside)
    momentum: float = field(default=0.1, validator=between(0, 1, above=True))


@frozen(kw_only=True)
class RepaEConfig(DiffusionConfig):
    """Options of `RepaE`. The defaults follow the paper, without its GAN loss.

    Args:
        align: Name of the auxiliary loss that also trains the tokenizer. The option `weight` of this loss applies to
            the backbone only.
        align_weight: Weight of the alignment loss for the tokenizer.
        l1_weight: Weight of the L1 distance between reconstructions and images in [-1, 1].
        perceptual: Perceptual loss of reconstructions: "lpips" (weights of VGG16), or "none".
        perceptual_weight: Weight of the perceptual loss.
        lpips: Folder with the weights of LPIPS. By default the folder of torch.hub.
        kl_weight: Weight of the KL divergence from N(0, I). The divergence is summed over the latent.
        ema_decay: EMA decay per step, for the backbone and for the statistics of the latents.
    """

    align: str = "repa"
    align_weight: float = field(default=1.5, validator=factor)
    l1_weight: float = field(default=1.0, validator=factor)
    perceptual: Literal["lpips", "none"] = "lpips"
    perceptual_weight: float = field(default=1.0, validator=factor)
    lpips: str | None = None
    kl_weight: float = field(default=1e-6, validator=factor)
    ema_decay: float = field(default=0.9999, validator=decay)
