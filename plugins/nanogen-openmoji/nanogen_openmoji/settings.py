"""Options of this plugin's components. Loads no torch."""

from __future__ import annotations

from attrs import field, frozen, validators

#: What the scenes are made of where nobody says otherwise: fewer objects are learnt sooner.
OBJECTS = ("apple", "dog", "cat", "car", "fish", "tree", "house", "star")

_count = validators.ge(1)


@frozen(kw_only=True)
class OpenMojiConfig:
    """`train` and `val` are the numbers of images; `objects` are the class names that occur in captioned scenes."""

    train: int = field(default=20_480, validator=_count)
    val: int = field(default=2_048, validator=_count)
    seed: int = 0
    objects: tuple[str, ...] = OBJECTS
