"""Options of this plugin's components. Loads no torch."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from nanogen_core.validators import at_least, seed_number

#: What the scenes are made of where nobody says otherwise: fewer objects are learnt sooner.
OBJECTS = ("apple", "dog", "cat", "car", "fish", "tree", "house", "star")

_count = at_least(1, 100_000_000)


def _held_out(_: object, attribute: Attribute[int], value: int) -> None:
    at_least(0, 100).check(attribute.name, value)
    if value == 1:
        raise ValueError(f"{attribute.name}: 1 holds out every caption: 0 for none, or from 2 on")


@frozen(kw_only=True)
class OpenMojiConfig:
    """`train` and `val` are the numbers of images; `objects` are the class names that occur in captioned scenes.

    `hold_out`: every so many-th coloured, counted and related caption of those to judge by occurs in no scene, so that
    answering it takes putting known words together anew; 0: all occur.
    """

    train: int = field(default=20_480, validator=_count)
    val: int = field(default=2_048, validator=_count)
    seed: int = field(default=0, validator=seed_number)
    objects: tuple[str, ...] = OBJECTS
    hold_out: int = field(default=0, validator=_held_out)
