"""Options of this plugin's components. Does not import torch."""

from __future__ import annotations

from attrs import field, frozen

from nanogen_core.validators import at_least, unit
from nanogen_data.roots import Root, check_roots


@frozen(kw_only=True)
class ImageNetConfig:
    """Options of the task `imagenet`.

    Args:
        flip: Whether to mirror training images left to right, each with probability 1/2. The published runs do not.
    """

    flip: bool = False


@frozen(kw_only=True)
class LabelConfig:
    """Options of the conditioner `label`.

    Args:
        learned: The number of learned tokens that the class embedding is added to.
    """

    learned: int = field(default=8, validator=at_least(1, 1024))


@frozen(kw_only=True)
class FolderConfig:
    """Options of the dataset `imagenet-folder`.

    Args:
        root: The folder with the subfolders `train` and `val`. A relative path starts at the current folder. None: the
            folder `imagenet` under NANOGEN_DATA.
        roots: Several roots with weights, in place of `root`: `[{path: a, weight: 2}, {path: b, weight: 1}]`. All must
            have the same classes.
        max_corrupt: The accepted share of corrupt examples, which are skipped. A run with more of them stops.
    """

    root: str | None = field(default=None, metadata={"path": True})
    roots: tuple[Root, ...] = field(default=(), validator=check_roots)
    max_corrupt: float = field(default=0.01, validator=unit)


@frozen(kw_only=True)
class ParquetConfig:
    """Options of the dataset `imagenet-parquet`.

    Args:
        root: A folder with parquet files in it or in its subfolder `data`. A relative path starts at the current
            folder. None: the folder `imagenet` under NANOGEN_DATA.
        roots: Several roots with weights, in place of `root`: `[{path: a, weight: 2}, {path: b, weight: 1}]`. All must
            have the same classes.
        max_corrupt: The accepted share of corrupt examples, which are skipped. A run with more of them stops.
    """

    root: str | None = field(default=None, metadata={"path": True})
    roots: tuple[Root, ...] = field(default=(), validator=check_roots)
    max_corrupt: float = field(default=0.01, validator=unit)
