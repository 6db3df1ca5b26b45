"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import between, positive


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        factor: Pixels along one side of a latent cell.
        std: Standard deviation of the pixels. Latents are the pixels divided by it.
    """

    factor: int = field(default=8, validator=between(1, 64))
    std: float = field(default=0.5, validator=positive)
