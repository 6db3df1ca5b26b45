"""Options of the dataset `arrow`. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import unit


@frozen(kw_only=True)
class ArrowConfig:
    """Options of the dataset `arrow`.

    Args:
        root: A folder that `save_to_disk` wrote, or a folder with `train-*.parquet` in it or in its subfolder `data`.
            None: the folder `arrow` under NANOGEN_DATA.
        image: The column of images. None: `image`, or the only column whose type or name fits.
        label: The column of labels. None: `label`, or the only column whose type or name fits.
        caption: The column of captions. None: `caption`, or the only column whose name fits.
        max_corrupt: The accepted share of corrupt examples, which are skipped. A run with more of them stops.
    """

    root: str | None = None
    image: str | None = None
    label: str | None = None
    caption: str | None = None
    max_corrupt: float = field(default=0.01, validator=unit)
