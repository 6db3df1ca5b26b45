"""Options of the diffusion stage. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators


@frozen(kw_only=True)
class DiffusionConfig:
    """`ema_decay` is each step's; `condition_dropout` is the chance that a sample is trained without its condition."""

    ema_decay: float = field(default=0.9995, validator=[validators.ge(0.0), validators.lt(1.0)])
    condition_dropout: float = field(default=0.1, validator=[validators.ge(0.0), validators.le(1.0)])
