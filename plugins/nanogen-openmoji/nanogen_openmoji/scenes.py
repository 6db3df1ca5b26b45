"""Generates random scenes of emojis, as a pure function of seed and index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

import attrs

from nanogen_openmoji.captions import RELATIONS, ObjectGroup, SceneDescription, caption
from nanogen_openmoji.colours import COLOURS

T = TypeVar("T")
NEAR, FAR = 0.27, 0.73  # coordinates of centres, as shares of the image
POSITIONS = {  # number of objects -> their centres
    1: ((0.5, 0.5),),
    2: ((NEAR, 0.5), (FAR, 0.5)),
    3: ((0.5, NEAR), (NEAR, FAR), (FAR, FAR)),
    4: ((NEAR, NEAR), (FAR, NEAR), (NEAR, FAR), (FAR, FAR)),
}
PAIRS = {  # relation -> centres of the first and the second object
    "left of": ((NEAR, 0.5), (FAR, 0.5)),
    "right of": ((FAR, 0.5), (NEAR, 0.5)),
    "above": ((0.5, NEAR), (0.5, FAR)),
    "below": ((0.5, FAR), (0.5, NEAR)),
}


@attrs.frozen(kw_only=True)
class SceneObject:
    """An object in a scene."""

    name: str
    colour: str | None  # None: the natural colour
    x: float  # of the centre, as a share of the image
    y: float  # the same, downwards
    size: float  # side, as a share of the image
    degrees: float  # clockwise


@attrs.frozen(kw_only=True)
class Scene:
    """A scene."""

    description: SceneDescription  # what its caption says
    objects: tuple[SceneObject, ...]
    background: tuple[float, float, float]  # red, green and blue in [0, 1]


@attrs.frozen(kw_only=True)
class World:
    """The distribution of scenes. With fewer `objects`, a model learns sooner."""

    objects: tuple[str, ...] = ("apple", "dog", "cat", "car", "fish", "tree", "house", "star")
    colours: tuple[str, ...] = tuple(COLOURS)  # of coloured objects
    counts: tuple[int, ...] = (2, 3, 4)  # numbers of objects in counted scenes
    families: dict[str, float] = attrs.field(  # relative frequency; relations take longest to learn
        factory=lambda: {"plain": 1.0, "coloured": 1.0, "counted": 1.5, "related": 6.0}
    )
    tinted: float = 0.2  # share of recoloured objects in counted and related scenes
    large: float = 0.73  # side of a single object
    small: float = 0.42  # side of each of several objects
    scale: float = 0.05  # maximum relative change of a side
    jitter: float = 0.02  # maximum shift of a centre, as a share of the image
    degrees: float = 4.0  # maximum rotation to either side
    background: tuple[float, float] = (0.85, 1.0)  # range of each channel
    held_out: frozenset[str] = frozenset()  # captions that do not occur


def scenes(indices: Iterable[int], *, seed: int = 0, world: World = World()) -> list[Scene]:
    """Generate the scenes of the given indices. Each is a pure function of (seed, index, world)."""
    return [scene(index, seed=seed, world=world) for index in indices]


def scene(index: int, *, seed: int = 0, world: World = World()) -> Scene:
    """Generate one scene, see `scenes`."""
    rng = Random(f"scene {seed} {index}")
    description = _random_description(rng, world)
    while caption(description) in world.held_out:
        description = _random_description(rng, world)
    return arrange(description, rng, world)


def arrange(description: SceneDescription, rng: Random, world: World) -> Scene:
    """Place the objects of a description, with small random variations."""
    members = [group for group in description.groups for _ in range(group.count)]
    centres = PAIRS[description.relation] if description.relation else POSITIONS[len(members)]
    side = world.large if len(members) == 1 else world.small
    return Scene(
        description=description,
        objects=tuple(_random_object(rng, group, at, side, world) for group, at in zip(members, centres, strict=True)),
        background=(_vary(rng, *world.background), _vary(rng, *world.background), _vary(rng, *world.background)),
    )


def _random_description(rng: Random, world: World) -> SceneDescription:
    names, weights = list(world.families), list(world.families.values())
    return FAMILIES[rng.choices(names, weights)[0]](rng, world)


def _plain(rng: Random, world: World) -> SceneDescription:
    return SceneDescription(groups=(ObjectGroup(name=_pick(rng, world.objects)),))


def _coloured(rng: Random, world: World) -> SceneDescription:
    return SceneDescription(groups=(ObjectGroup(name=_pick(rng, world.objects), colour=_pick(rng, world.colours)),))


def _counted(rng: Random, world: World) -> SceneDescription:
    group = ObjectGroup(name=_pick(rng, world.objects), colour=_tint(rng, world), count=_pick(rng, world.counts))
    return SceneDescription(groups=(group,))


def _related(rng: Random, world: World) -> SceneDescription:
    first = _pick(rng, world.objects)
    second = _pick(rng, [name for name in world.objects if name != first])
    groups = (ObjectGroup(name=first, colour=_tint(rng, world)), ObjectGroup(name=second, colour=_tint(rng, world)))
    return SceneDescription(groups=groups, relation=_pick(rng, RELATIONS))


FAMILIES = {"plain": _plain, "coloured": _coloured, "counted": _counted, "related": _related}


def _random_object(rng: Random, group: ObjectGroup, at: tuple[float, float], side: float, world: World) -> SceneObject:
    return SceneObject(
        name=group.name,
        colour=group.colour,
        x=_vary(rng, at[0] - world.jitter, at[0] + world.jitter),
        y=_vary(rng, at[1] - world.jitter, at[1] + world.jitter),
        size=side * _vary(rng, 1 - world.scale, 1 + world.scale),
        degrees=_vary(rng, -world.degrees, world.degrees),
    )


def _tint(rng: Random, world: World) -> str | None:
    colour = _pick(rng, world.colours)
    return colour if rng.random() < world.tinted else None


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def _vary(rng: Random, low: float, high: float) -> float:
    return low + (high - low) * rng.random()
