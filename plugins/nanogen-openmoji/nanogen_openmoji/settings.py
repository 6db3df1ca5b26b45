"""Options of this plugin's components. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

from nanogen_core.validators import at_least
from nanogen_core.validators import seed as seed_

#: What the scenes are made of where nobody says otherwise: fewer objects are learnt sooner.
OBJECTS = ("apple", "dog", "cat", "car", "fish", "tree", "house", "star")

_count = at_least(1, 100_000_000)
_held_out = validators.in_([0, *range(2, 101)])  # of all captions nothing would be left to learn


@frozen(kw_only=True)
class OpenMojiConfig:
    """`train` and `val` are the numbers of images; `objects` are the class names that occur in captioned scenes.

    `hold_out`: every so many-th coloured, counted and related caption of those to judge by occurs in no scene, so that
    answering it takes putting known words together anew; 0: all occur.
    """

    train: int = field(default=20_480, validator=_count)
    val: int = field(default=2_048, validator=_count)
    seed: int = field(default=0, validator=seed_)
    objects: tuple[str, ...] = OBJECTS
    hold_out: int = field(default=0, validator=_held_out)
