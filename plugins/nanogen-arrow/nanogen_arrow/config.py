"""Options of the dataset `arrow`. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import unit


@frozen(kw_only=True)
class ArrowConfig:
    """`root`: a folder that `save_to_disk` wrote, or one of `train-*.parquet` (perhaps in `data` below it); without it,
    the folder `arrow` under NANOGEN_DATA.

    `image`, `label`, `caption`: the columns. Without them, `image`, `label` and `caption` where the table has these;
    else the only column whose type or name says so.
    `max_corrupt`: share of corrupt examples that are skipped, in [0, 1]. A run with more of them stops.
    """

    root: str | None = None
    image: str | None = None
    label: str | None = None
    caption: str | None = None
    max_corrupt: float = field(default=0.01, validator=unit)
