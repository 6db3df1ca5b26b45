"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import unit


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        uniform_below: Contrast below which an image counts as nearly uniform.
    """

    uniform_below: float = field(default=0.02, validator=unit)
