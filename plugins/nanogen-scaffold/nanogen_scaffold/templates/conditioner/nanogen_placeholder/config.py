"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import between


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        length: Largest number of bytes of a text. Longer texts are cut.
    """

    length: int = field(default=64, validator=between(1, 4096))
