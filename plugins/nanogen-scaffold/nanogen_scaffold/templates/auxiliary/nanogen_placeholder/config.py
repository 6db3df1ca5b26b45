"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import factor, unit


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        weight: Weight of the loss.
        below: The loss applies to samples with t < `below`.
    """

    weight: float = field(default=0.1, validator=factor)
    below: float = field(default=0.7, validator=unit)
