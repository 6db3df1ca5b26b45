"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import unit


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        flip: Probability with which a training image is mirrored left to right.
    """

    flip: float = field(default=0.0, validator=unit)
