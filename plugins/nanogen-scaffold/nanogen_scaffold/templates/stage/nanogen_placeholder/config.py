"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import decay, unit


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        ema_decay: EMA decay per step.
        condition_dropout: Probability that a sample is trained without its condition.
    """

    ema_decay: float = field(default=0.9995, validator=decay)
    condition_dropout: float = field(default=0.1, validator=unit)
