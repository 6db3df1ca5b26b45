"""Options of stage 1. Loads no torch."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen

from nanogen_core.validators import between, decay
from nanogen_core.validators import factor as _weight
from nanogen_core.validators import unit as _share


@frozen(kw_only=True)
class DecoderStageConfig:
    """The recipe of arXiv 2510.11690, its 16 epochs as shares of `train.steps`.

    `perceptual`: what the second loss compares: `lpips`, the tokens of the RAE's own `encoder`, or `none`. `lpips`: the
    folder of its two weight files. `discriminator`: the frozen features that it judges: `dino` (DINO-S/8, whose file,
    folder or hub name is `dino`), those of the `encoder`, or `none` for no GAN. `augment_probability` is that of each
    change that DiffAugment makes, `cutout` the side of its hole as a share of the image's.
    """

    noise: float = field(default=0.8, validator=between(0, 100))  # tau: tokens + tau U(0, 1) N(0, 1)
    ema_decay: float = field(default=0.9978, validator=decay)
    perceptual: Literal["lpips", "encoder", "none"] = "lpips"
    perceptual_weight: float = field(default=1.0, validator=_weight)
    lpips: str | None = None
    discriminator: Literal["dino", "encoder", "none"] = "dino"
    dino: str = "facebook/dino-vits8"
    adversarial_weight: float = field(default=0.75, validator=_weight)
    discriminator_from: float = field(default=6 / 16, validator=_share)  # when its updates start
    adversarial_from: float = field(default=8 / 16, validator=_share)  # when the decoder is told of them
    augment_probability: float = field(default=1.0, validator=_share)
    cutout: float = field(default=0.0, validator=_share)

    @adversarial_from.validator
    def _after_the_discriminator(self, _: Any, value: float) -> None:
        if value < self.discriminator_from:
            raise ValueError(f"adversarial_from: {value} lies before discriminator_from {self.discriminator_from}")
