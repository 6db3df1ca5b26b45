"""Options of the dataset `arrow`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from nanogen_core.validators import unit
from nanogen_data.roots import Root, check_captions, check_roots


def _check_captions(instance: Any, attribute: Any, value: Mapping[str, float]) -> None:
    check_captions(instance, attribute, value)
    if value and instance.caption is not None:
        raise ValueError(f"captions: set either caption or captions, not both (caption is {instance.caption!r})")


@frozen(kw_only=True)
class ArrowConfig:
    """Options of the dataset `arrow`.

    Args:
        root: A folder that `save_to_disk` wrote, or a folder with `train-*.parquet` in it or in its subfolder `data`.
            A relative path starts at the current folder. None: the folder `arrow` under NANOGEN_DATA.
        roots: Several roots with weights, in place of `root`: `[{path: a, weight: 2}, {path: b, weight: 1}]`.
        image: The column of images. None: `image`, or the only column whose type or name fits.
        label: The column of labels. None: `label`, or the only column whose type or name fits.
        caption: The column of captions. None: `caption`, or the only column whose name fits.
        captions: Several columns of captions with probabilities, in place of `caption`: `{long: 0.8, short: 0.2}`.
            `captions#2` is the second entry of each list in the column `captions`.
        max_corrupt: The accepted share of corrupt examples, which are skipped. A run with more of them stops.
    """

    root: str | None = field(default=None, metadata={"path": True})
    roots: tuple[Root, ...] = field(default=(), validator=check_roots)
    image: str | None = None
    label: str | None = None
    caption: str | None = None
    captions: Mapping[str, float] = field(factory=dict, validator=_check_captions)
    max_corrupt: float = field(default=0.01, validator=unit)
