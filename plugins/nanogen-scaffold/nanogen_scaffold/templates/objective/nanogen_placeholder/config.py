"""Options of `placeholder`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen
from nanogen_core.validators import time_mean, time_std


@frozen(kw_only=True)
class PlaceholderConfig:
    """Options of `placeholder`.

    Args:
        time_mean: Mean of logit(t).
        time_std: Standard deviation of logit(t).
    """

    time_mean: float = field(default=0.0, validator=time_mean)
    time_std: float = field(default=1.0, validator=time_std)
