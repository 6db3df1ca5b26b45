"""Options of this plugin's components. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import at_least, unit


@frozen(kw_only=True)
class ImageNetConfig:
    """`flip`: mirror training images left to right with probability one half. The published runs do not."""

    flip: bool = False


@frozen(kw_only=True)
class LabelConfig:
    """`learned`: the number of learned tokens that the class embedding is added to."""

    learned: int = field(default=8, validator=at_least(1, 1024))


@frozen(kw_only=True)
class FolderConfig:
    """`root`: the folder that holds `train` and `val`; without it, the folder `imagenet` under NANOGEN_DATA.

    `max_corrupt`: share of corrupt examples that are skipped, in [0, 1]. A run with more of them stops.
    """

    root: str | None = None
    max_corrupt: float = field(default=0.01, validator=unit)


@frozen(kw_only=True)
class ParquetConfig:
    """`root`: the folder of the parquet files, or of `data` with them; without it, `imagenet` under NANOGEN_DATA.

    `max_corrupt`: share of corrupt examples that are skipped, in [0, 1]. A run with more of them stops.
    """

    root: str | None = None
    max_corrupt: float = field(default=0.01, validator=unit)
