"""Options of optimizers and learning-rate schedules. Does not import torch."""

from __future__ import annotations

import re
from typing import Literal

from attrs import Attribute, field, frozen

from nanogen_core.validators import at_least, between, count, count_or_none, decay, unit


def _pattern(_: object, attribute: Attribute[str], value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a valid regular expression: {error}") from error


@frozen(kw_only=True)
class AdamWConfig:
    """Options of AdamW.

    Args:
        lr: Peak learning rate. The schedule multiplies it.
        beta1, beta2: Decay of the averages of the gradient and of its square.
        eps: Number that is added to the square root of the averaged square.
        weight_decay: Decoupled weight decay. The learning rate multiplies it.
    """

    lr: float = field(default=2e-4, validator=between(0, 100, above=True))
    beta1: float = field(default=0.9, validator=decay)
    beta2: float = field(default=0.95, validator=decay)
    eps: float = field(default=1e-8, validator=between(0, 1, above=True))
    weight_decay: float = field(default=0.0, validator=between(0, 1000))


@frozen(kw_only=True)
class MuonConfig(AdamWConfig):
    """Options of Muon for the matrices whose names match `hidden`, and of AdamW for all other parameters.

    Both use the same `lr`. With `scale: rms`, updates of Muon have about the same RMS as those of AdamW, so one `lr`
    suits both (Liu et al., arXiv 2502.16982). `scale: shape` is the original factor sqrt(max(1, rows / columns)). It
    needs an `lr` of about 0.02.

    Args:
        momentum: Decay of the averaged gradient.
        nesterov: Use Nesterov momentum.
        iterations: Newton-Schulz iterations.
        scale: Scale of the updates.
        hidden: Regular expression that is searched in parameter names.
    """

    momentum: float = field(default=0.95, validator=decay)
    nesterov: bool = True
    iterations: int = field(default=5, validator=at_least(1, 99))
    scale: Literal["rms", "shape"] = "rms"
    hidden: str = field(default=r"(blocks|layers)\.\d+\.", validator=_pattern)


@frozen(kw_only=True)
class ConstantConfig:
    """Constant after a linear warm-up.

    Args:
        warmup_steps: Steps of the warm-up.
    """

    warmup_steps: int = field(default=0, validator=count_or_none)


@frozen(kw_only=True)
class CosineConfig:
    """Half a cosine from 1 at the end of `warmup_steps` to `final` at `end_step`.

    Args:
        warmup_steps: Steps of the linear warm-up.
        end_step: Step from which on the factor is `final`.
        final: Factor of the learning rate at the end.
    """

    warmup_steps: int = field(default=0, validator=count_or_none)
    end_step: int = field(default=100_000, validator=count)
    final: float = field(default=0.1, validator=unit)

    @end_step.validator
    def _after_the_warmup(self, _: object, value: int) -> None:
        if value <= self.warmup_steps:
            raise ValueError(f"end_step: {value} must be greater than warmup_steps ({self.warmup_steps})")


@frozen(kw_only=True)
class ConstantLinearConfig:
    """Linear warm-up for `warmup_steps`, constant until `constant_steps`, then linear to `final` at `end_step`.

    The defaults are the published ones for text-to-image: 5 and 100 virtual epochs of 10,000 steps. The ImageNet
    recipes use 40 and 800 epochs of 1,251 steps. Published runs end before `end_step`.

    Args:
        warmup_steps: Steps of the linear warm-up.
        constant_steps: Step at which the linear decrease begins.
        end_step: Step from which on the factor is `final`.
        final: Factor of the learning rate at the end.
    """

    warmup_steps: int = field(default=0, validator=count_or_none)
    constant_steps: int = field(default=50_000, validator=count_or_none)
    end_step: int = field(default=1_000_000, validator=count)
    final: float = field(default=0.1, validator=unit)

    @end_step.validator
    def _after_the_constant_part(self, _: object, value: int) -> None:
        if value < self.constant_steps:
            raise ValueError(f"end_step: {value} must be at least constant_steps ({self.constant_steps})")
