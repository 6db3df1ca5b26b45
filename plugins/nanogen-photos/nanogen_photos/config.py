"""Options of this plugin's components. Does not import torch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from attrs import Attribute, field, frozen

from nanogen_core.errors import listing, near_miss, shown
from nanogen_core.validators import at_least, pixels, seed_number, unit

STAMPS = "/usr/share/tuxpaint/stamps"
BACKGROUNDS = "/usr/share/backgrounds/mate/nature"

_count = at_least(1, 100_000_000)


@lru_cache(maxsize=1)
def stamp_table() -> Mapping[str, tuple[str, ...]]:
    """Return class -> stamps (cut-outs), in a fixed order. A stamp is a path in the stamp folder, without suffix."""
    found: dict[str, tuple[str, ...]] = {}
    table = files("nanogen_photos").joinpath("stamps.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(table.splitlines()):
        found[row["class"]] = (*found.get(row["class"], ()), row["stamp"])
    return found


def _classes(_: object, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    for name in value:
        if name not in stamp_table():
            raise ValueError(
                f"there is no class {name!r}.{near_miss(name, stamp_table())} Choose from {listing(stamp_table())}"
            )
    if value and (len(value) < 2 or len(set(value)) < len(value)):
        raise ValueError(f"needs two or more classes, each once, got {shown(list(value))}")


def _named(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"must be a name, or a mapping with `name` and options, got {shown(value)}")


@frozen(kw_only=True)
class PhotosConfig:
    """Options of the dataset `photos`.

    Args:
        train: The number of training images.
        val: The number of held-out images.
        seed: The seed of all images.
        classes: Two or more classes, in the order of their labels. Empty: all 22.
        stamps: The folder of tuxpaint-stamps-default.
        backgrounds: The folder of the photographs (.jpg). Default: the nature photographs of mate-backgrounds.
    """

    train: int = field(default=20_480, validator=_count)
    val: int = field(default=1_024, validator=_count)
    seed: int = field(default=0, validator=seed_number)
    classes: tuple[str, ...] = field(default=(), validator=_classes)
    stamps: str = field(default=STAMPS, metadata={"path": True})
    backgrounds: str = field(default=BACKGROUNDS, metadata={"path": True})

    @property
    def names(self) -> tuple[str, ...]:
        """The class names, in the order of their labels."""
        return self.classes or tuple(stamp_table())


@frozen(kw_only=True)
class NanoDetConfig:
    """Options of the detector `nanodet`.

    Args:
        weights: The file that `nanogen photos convert` wrote. None: nanogen/nanodet.safetensors in the user's cache.
    """

    weights: str | None = None


@frozen(kw_only=True)
class MobileNetConfig:
    """Options of the features `mobilenet-v2`.

    Args:
        side: Side of the network's input in pixels.
        weights: The file that `nanogen photos convert` wrote. None: nanogen/mobilenet-v2.safetensors in the user's
            cache.
    """

    side: int = field(default=160, validator=pixels)
    weights: str | None = None


@frozen(kw_only=True)
class DetectedConfig:
    """Options of the metric `photos-detected`.

    Args:
        detector: A component of the kind `detector`.
        threshold: The score above which a detection counts.
    """

    detector: Any = field(default="nanodet", validator=_named)
    threshold: float = field(default=0.3, validator=unit)


@frozen(kw_only=True)
class ScenesConfig:
    """Options of the metric `photos-geneval`.

    The defaults are GenEval's, except those of `prompts_per_tag`, `detector` and `counting_threshold`.

    Args:
        prompts_per_tag: The maximum number of prompts of each tag.
        images_per_prompt: Images per prompt.
        detector: A component of the kind `detector`.
        threshold: The score above which a detection counts.
        counting_threshold: As `threshold`, for prompts of the tag `counting`. The official 0.9 is for Mask2Former.
            NanoDet's scores are lower.
        max_objects: The maximum number of detections per class.
        max_overlap: Drop a detection if its IoU with a higher-scoring detection of its class is at least this. 1 keeps
            all.
        position_threshold: Ignore an offset between the centres of two objects up to this share of the sum of their
            sizes, along each axis.
    """

    prompts_per_tag: int = field(default=22, validator=at_least(1, 10_000))
    images_per_prompt: int = field(default=4, validator=at_least(1, 10_000))
    detector: Any = field(default="nanodet", validator=_named)
    threshold: float = field(default=0.3, validator=unit)
    counting_threshold: float = field(default=0.3, validator=unit)
    max_objects: int = field(default=16, validator=at_least(1, 10_000))
    max_overlap: float = field(default=1.0, validator=unit)
    position_threshold: float = field(default=0.1, validator=unit)


@frozen(kw_only=True)
class DistanceConfig:
    """Options of the metrics `photos-frechet` and `photos-kid`.

    Args:
        features: The feature space: a component of the kind `features`, such as `mobilenet-v2`.
        size: Side of the held-out images in pixels. Use the image size of the model.
    """

    features: Any = field(default="efficientnet-lite0", validator=_named)
    size: int = field(default=64, validator=pixels)
