"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import sampling_steps


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        steps: Number of steps from noise to data.
    """

    steps: int = field(default=25, validator=sampling_steps)
