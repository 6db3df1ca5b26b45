"""Options of the evaluation while training. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import count


@frozen(kw_only=True)
class SamplesConfig:
    """Options of `Samples`.

    Args:
        metrics: Names of the metrics; by default all metrics of the configuration.
        count: Number of samples.
    """

    metrics: tuple[str, ...] = ()
    count: int = field(default=2048, validator=count)
