"""Options of this plugin's components. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen

from nanogen_core.errors import shown
from nanogen_core.validators import at_least, seed_number

#: The default objects of scenes. A model learns fewer objects sooner.
OBJECTS = ("apple", "dog", "cat", "car", "fish", "tree", "house", "star")

_count = at_least(1, 100_000_000)


def _held_out(_: object, attribute: Attribute[int], value: int) -> None:
    at_least(0, 100).check(attribute.name, value)
    if value == 1:
        raise ValueError(f"{attribute.name}: 1 holds out all but the plain captions; use 0 for none, or at least 2")


@frozen(kw_only=True)
class OpenMojiConfig:
    """Options of the dataset `openmoji`.

    Args:
        train: The number of training images.
        val: The number of held-out images.
        seed: The seed of all images.
        objects: The names of the classes that occur in captioned scenes.
        hold_out: Omit every `hold_out`-th coloured, counted and related evaluation caption from the scenes, to test new
            combinations of known words. 0: omit none.
    """

    train: int = field(default=20_480, validator=_count)
    val: int = field(default=2_048, validator=_count)
    seed: int = field(default=0, validator=seed_number)
    objects: tuple[str, ...] = OBJECTS
    hold_out: int = field(default=0, validator=_held_out)


def _named(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"must be a name, or a mapping with `name` and options, got {shown(value)}")


@frozen(kw_only=True)
class DistanceConfig:
    """Options of the metrics `openmoji-frechet` and `openmoji-kid`.

    Args:
        features: The feature space: a component of the kind `features`.
    """

    features: Any = field(default="openmoji-classifier", validator=_named)
