"""Composed scenes: which objects, in which colours and numbers, and where; a pure function of seed and index."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

import attrs

from nanogen_openmoji.colours import COLOURS
from nanogen_openmoji.meaning import RELATIONS, Group, Meaning, caption

T = TypeVar("T")
NEAR, FAR = 0.27, 0.73  # centres of neighbours, as shares of the image
ROWS = {  # where 1, 2, 3 or 4 objects stand
    1: ((0.5, 0.5),),
    2: ((NEAR, 0.5), (FAR, 0.5)),
    3: ((0.5, NEAR), (NEAR, FAR), (FAR, FAR)),
    4: ((NEAR, NEAR), (FAR, NEAR), (NEAR, FAR), (FAR, FAR)),
}
PAIRS = {  # where the first and the second object of a relation stand
    "left of": ((NEAR, 0.5), (FAR, 0.5)),
    "right of": ((FAR, 0.5), (NEAR, 0.5)),
    "above": ((0.5, NEAR), (0.5, FAR)),
    "below": ((0.5, FAR), (0.5, NEAR)),
}


@attrs.frozen(kw_only=True)
class Placed:
    """One object in a scene: centre and side as shares of the image, y down; degrees clockwise; never mirrored."""

    name: str
    colour: str | None
    x: float
    y: float
    size: float
    degrees: float


@attrs.frozen(kw_only=True)
class Scene:
    """What the caption says, the objects as they stand, and the plain background, red, green and blue in [0, 1]."""

    meaning: Meaning
    objects: tuple[Placed, ...]
    background: tuple[float, float, float]


@attrs.frozen(kw_only=True)
class World:
    """The scenes that can occur. `objects` may be any class names; fewer are learnt sooner."""

    objects: tuple[str, ...] = ("apple", "dog", "cat", "car", "fish", "tree", "house", "star")
    colours: tuple[str, ...] = tuple(COLOURS)
    counts: tuple[int, ...] = (2, 3, 4)
    families: dict[str, float] = attrs.field(  # relative frequency: relations take longest to learn
        factory=lambda: {"plain": 1.0, "coloured": 1.0, "counted": 1.5, "related": 6.0}
    )
    tinted: float = 0.2  # share of objects in counted and related scenes that have a colour
    large: float = 0.73  # side of a single object, and of one among others
    small: float = 0.42
    scale: float = 0.05  # sides vary by this share
    jitter: float = 0.02  # centres move by this share of the image
    degrees: float = 4.0  # rotation to either side
    background: tuple[float, float] = (0.85, 1.0)
    held_out: frozenset[str] = frozenset()  # captions that never occur


def scenes(indices: Iterable[int], *, seed: int = 0, world: World = World()) -> list[Scene]:
    """The scenes of these indices; each is a pure function of (seed, index, world)."""
    return [scene(index, seed=seed, world=world) for index in indices]


def scene(index: int, *, seed: int = 0, world: World = World()) -> Scene:
    """One scene; see `scenes`."""
    dice = Random(f"scene {seed} {index}")
    meaning = _meaning(dice, world)
    while caption(meaning) in world.held_out:
        meaning = _meaning(dice, world)
    return arrange(meaning, dice, world)


def arrange(meaning: Meaning, dice: Random, world: World) -> Scene:
    """Put the objects of a meaning in their places, with the world's small random differences."""
    members = [group for group in meaning.groups for _ in range(group.count)]
    places = PAIRS[meaning.relation] if meaning.relation else ROWS[len(members)]
    side = world.large if len(members) == 1 else world.small
    return Scene(
        meaning=meaning,
        objects=tuple(_placed(dice, group, at, side, world) for group, at in zip(members, places, strict=True)),
        background=(_vary(dice, *world.background), _vary(dice, *world.background), _vary(dice, *world.background)),
    )


def _meaning(dice: Random, world: World) -> Meaning:
    names, weights = list(world.families), list(world.families.values())
    return FAMILIES[dice.choices(names, weights)[0]](dice, world)


def _plain(dice: Random, world: World) -> Meaning:
    return Meaning(groups=(Group(name=_pick(dice, world.objects)),))


def _coloured(dice: Random, world: World) -> Meaning:
    return Meaning(groups=(Group(name=_pick(dice, world.objects), colour=_pick(dice, world.colours)),))


def _counted(dice: Random, world: World) -> Meaning:
    group = Group(name=_pick(dice, world.objects), colour=_tint(dice, world), count=_pick(dice, world.counts))
    return Meaning(groups=(group,))


def _related(dice: Random, world: World) -> Meaning:
    first = _pick(dice, world.objects)
    second = _pick(dice, [name for name in world.objects if name != first])
    groups = (Group(name=first, colour=_tint(dice, world)), Group(name=second, colour=_tint(dice, world)))
    return Meaning(groups=groups, relation=_pick(dice, RELATIONS))


FAMILIES = {"plain": _plain, "coloured": _coloured, "counted": _counted, "related": _related}


def _placed(dice: Random, group: Group, at: tuple[float, float], side: float, world: World) -> Placed:
    return Placed(
        name=group.name,
        colour=group.colour,
        x=_vary(dice, at[0] - world.jitter, at[0] + world.jitter),
        y=_vary(dice, at[1] - world.jitter, at[1] + world.jitter),
        size=side * _vary(dice, 1 - world.scale, 1 + world.scale),
        degrees=_vary(dice, -world.degrees, world.degrees),
    )


def _tint(dice: Random, world: World) -> str | None:
    colour = _pick(dice, world.colours)
    return colour if dice.random() < world.tinted else None


def _pick(dice: Random, options: Sequence[T]) -> T:
    return options[int(dice.random() * len(options))]


def _vary(dice: Random, low: float, high: float) -> float:
    return low + (high - low) * dice.random()
