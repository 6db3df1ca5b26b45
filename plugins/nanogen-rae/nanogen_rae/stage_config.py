"""Options of the stage `rae-decoder` (stage 1). Does not import torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen

from nanogen_core.validators import between, decay, factor, unit


@frozen(kw_only=True)
class DecoderStageConfig:
    """Options of `DecoderTraining`. The defaults follow arXiv 2510.11690, which trains for 16 epochs.

    Args:
        noise: Maximum standard deviation tau of the noise on tokens. Each sample draws its own from U(0, tau).
        ema_decay: EMA decay of the decoder, per step.
        perceptual: Perceptual loss: "lpips", "encoder" (squared error of the RAE encoder's tokens), or "none".
        perceptual_weight: Weight of the perceptual loss.
        lpips: Folder that contains the weights of LPIPS. Null uses the folder of torch.hub.
        discriminator: Frozen features of the discriminator: "dino" (DINO-S/8), "encoder" (the RAE's own), or "none" for
            no GAN loss.
        dino: Weights of DINO-S/8: a file of the original repository, a folder, or a name on the Hugging Face hub.
        adversarial_weight: Factor of the adversarial loss, in addition to the adaptive weight.
        discriminator_from: Fraction of `train.steps` after which the discriminator is trained.
        adversarial_from: Fraction of `train.steps` after which the loss of the decoder includes the adversarial loss.
        augment_probability: Probability of each augmentation of DiffAugment.
        cutout: Side of DiffAugment's hole, as a fraction of the image's side. 0: no hole.
    """

    noise: float = field(default=0.8, validator=between(0, 100))
    ema_decay: float = field(default=0.9978, validator=decay)
    perceptual: Literal["lpips", "encoder", "none"] = "lpips"
    perceptual_weight: float = field(default=1.0, validator=factor)
    lpips: str | None = None
    discriminator: Literal["dino", "encoder", "none"] = "dino"
    dino: str = "facebook/dino-vits8"
    adversarial_weight: float = field(default=0.75, validator=factor)
    discriminator_from: float = field(default=6 / 16, validator=unit)
    adversarial_from: float = field(default=8 / 16, validator=unit)
    augment_probability: float = field(default=1.0, validator=unit)
    cutout: float = field(default=0.0, validator=unit)

    @adversarial_from.validator
    def _after_the_discriminator(self, _: Any, value: float) -> None:
        if value < self.discriminator_from:
            raise ValueError(
                f"adversarial_from: must be at least discriminator_from ({self.discriminator_from}), got {value}"
            )
