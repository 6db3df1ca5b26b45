"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import guidance_scale


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        scale: Guidance scale w; 1 means no guidance.
    """

    scale: float = field(default=1.0, validator=guidance_scale)
