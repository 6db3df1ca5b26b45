"""Options of the optimisers and of the learning rate's schedules. Loads no torch."""

from __future__ import annotations

import re
from typing import Literal

from attrs import Attribute, field, frozen

from nanogen_core.validators import at_least, between, count, count_or_none, decay, unit


def _pattern(_: object, attribute: Attribute[str], value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error


@frozen(kw_only=True)
class AdamWConfig:
    lr: float = field(default=2e-4, validator=between(0, 100, above=True))
    beta1: float = field(default=0.9, validator=decay)
    beta2: float = field(default=0.95, validator=decay)
    eps: float = field(default=1e-8, validator=between(0, 1, above=True))
    weight_decay: float = field(default=0.0, validator=between(0, 1000))


@frozen(kw_only=True)
class MuonConfig(AdamWConfig):
    """Muon for the matrices whose name `hidden` finds, AdamW with the options above for everything else.

    `scale` fits Muon's step to a matrix: `rms` to the size that AdamW's steps have, so that both take one `lr` (Liu et
    al., arXiv 2502.16982); `shape` is the original sqrt(max(1, rows / columns)), which wants an `lr` of about 0.02.
    """

    momentum: float = field(default=0.95, validator=decay)
    nesterov: bool = True
    iterations: int = field(default=5, validator=at_least(1, 99))  # of Newton and Schulz
    scale: Literal["rms", "shape"] = "rms"
    hidden: str = field(default=r"(blocks|layers)\.\d+\.", validator=_pattern)  # regular expression, found in a name


@frozen(kw_only=True)
class ConstantConfig:
    """Constant after `warmup_steps` of rising from 0."""

    warmup_steps: int = field(default=0, validator=count_or_none)


@frozen(kw_only=True)
class CosineConfig:
    """Half a cosine from 1 at the end of `warmup_steps` to `final` at `end_step`."""

    warmup_steps: int = field(default=0, validator=count_or_none)
    end_step: int = field(default=100_000, validator=count)
    final: float = field(default=0.1, validator=unit)

    @end_step.validator
    def _after_the_warmup(self, _: object, value: int) -> None:
        if value <= self.warmup_steps:
            raise ValueError(f"end_step: {value} does not lie after warmup_steps {self.warmup_steps}")


@frozen(kw_only=True)
class ConstantLinearConfig:
    """Constant for `constant_steps` (after `warmup_steps` of rising from 0), then linear, reaching `final` times the
    learning rate at `end_step`. The defaults are the published ones for text: 5 and 100 virtual epochs of 10,000 steps.
    The ImageNet recipes set 40 and 800 epochs of 1,251 steps. Published runs end on the way down."""

    warmup_steps: int = field(default=0, validator=count_or_none)
    constant_steps: int = field(default=50_000, validator=count_or_none)
    end_step: int = field(default=1_000_000, validator=count)
    final: float = field(default=0.1, validator=unit)

    @end_step.validator
    def _after_the_constant_part(self, _: object, value: int) -> None:
        if value < self.constant_steps:
            raise ValueError(f"end_step: {value} lies before constant_steps {self.constant_steps}")
