"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import between


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        width: Width of a token, even and a multiple of `heads`.
        depth: Number of blocks.
        heads: Number of attention heads.
    """

    width: int = field(default=384, validator=between(2, 16_384))
    depth: int = field(default=12, validator=between(1, 1000))
    heads: int = field(default=6, validator=between(1, 256))

    @heads.validator
    def _divides_the_width(self, _: object, value: int) -> None:
        if self.width % value or self.width % 2:
            raise ValueError(f"heads: width must be even and a multiple of heads, got {self.width} and {value}")
