"""The dataset `openmoji`: labelled emojis or captioned scenes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256

import torch
from attrs import asdict, evolve

from nanogen_core.errors import ConfigError, DataError, listing, near_miss
from nanogen_data.loader import Example
from nanogen_files.hashing import file_hash
from nanogen_openmoji.captions import SceneDescription, caption, prompts
from nanogen_openmoji.class_images import balanced_labels, class_images
from nanogen_openmoji.emojis import class_names, font_file
from nanogen_openmoji.render import render
from nanogen_openmoji.scenes import World, scenes
from nanogen_openmoji.settings import OpenMojiConfig

SPLITS = {"train": 0, "val": 1}  # added to twice the seed, so the splits have different images


class OpenMoji:
    """Generates images on access, at any size. Each image is a pure function of the options, size, split and index."""

    licence = "CC BY-SA 4.0"  # for the card of a model

    def __init__(self, config: OpenMojiConfig):
        """Raises ConfigError for unknown or repeated objects, or for fewer than two objects."""
        self.config = config
        self.classes: Sequence[str] = class_names()
        world = World(objects=_checked(config.objects))
        self.world = evolve(world, held_out=_held_out(world, config.hold_out))

    def open(self, split: str, image_size: int, view: str) -> GeneratedExamples:
        """Open a split.

        Args:
            split: `"train"` or `"val"`.
            image_size: The side of the images in pixels.
            view: `"labels"` or `"captions"`.

        Raises:
            DataError: There is no such split.
        """
        if split not in SPLITS:
            raise DataError(f"The dataset openmoji has no split {split!r}. Use one of: {listing(SPLITS)}.")
        length = {"train": self.config.train, "val": self.config.val}[split]
        return GeneratedExamples(
            length, view, size=image_size, seed=2 * self.config.seed + SPLITS[split], world=self.world
        )

    def prompts(self) -> list[str]:
        """Return captions for evaluation: plain, coloured, counted and related objects in turn, in equal numbers.

        The captions of the smaller families repeat.
        """
        families = list(prompts(self.world.objects, self.world.colours, self.world.counts).values())
        longest = max(map(len, families))
        return [caption(_spread(family, number)) for number in range(longest) for family in families]


class GeneratedExamples:
    """Examples that are generated in batches."""

    def __init__(self, length: int, view: str, *, size: int, seed: int, world: World):
        self._length, self._view, self._seed, self._world = length, view, seed, world
        self._generate = partial(VIEWS[view], size=size, seed=seed, world=world)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        return self._generate([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        return self._generate(indices)

    def identity(self) -> str:
        """Return a hash of everything that the images depend on, except their size.

        It is equal on all machines. A hash of pixels is not, because their last bits vary.
        """
        world = asdict(self._world) if self._view == "captions" else {}
        facts = {
            "view": self._view,
            "length": self._length,
            "seed": self._seed,
            "font": file_hash(font_file()),
            **world,
        }
        return sha256(json.dumps(facts, sort_keys=True, default=sorted).encode()).hexdigest()


def _labelled(indices: Sequence[int], *, size: int, seed: int, world: World) -> list[Example]:
    numbers = torch.as_tensor(indices)
    labels = balanced_labels(numbers)
    images = class_images(labels, numbers, size=size, seed=seed)  # [B, 3, size, size]
    return [Example(image, label=label) for image, label in zip(images, labels.tolist(), strict=True)]


def _captioned(indices: Sequence[int], *, size: int, seed: int, world: World) -> list[Example]:
    drawn = scenes(indices, seed=seed, world=world)
    images = render(drawn, size)  # [B, 3, size, size]
    return [Example(image, caption=caption(scene.description)) for image, scene in zip(images, drawn, strict=True)]


VIEWS: Mapping[str, Callable[..., list[Example]]] = {"labels": _labelled, "captions": _captioned}


def _checked(objects: tuple[str, ...]) -> tuple[str, ...]:
    for name in objects:
        if name not in class_names():
            near = near_miss(name, class_names())
            raise ConfigError(
                f"dataset.objects: there is no class {name!r}.{near} Use names in nanogen_openmoji/classes.csv."
            )
        if objects.count(name) > 1:
            raise ConfigError(f"dataset.objects: {name!r} occurs more than once. Name each object once.")
    if len(objects) < 2:
        raise ConfigError("dataset.objects: a relation needs two objects. Give at least two.")
    return objects


def _held_out(world: World, every: int) -> frozenset[str]:
    """Return every `every`-th caption of each family except the plain one; none for 0."""
    families = prompts(world.objects, world.colours, world.counts)
    composed = [family for name, family in families.items() if name != "plain"] if every else []
    return frozenset(caption(description) for family in composed for description in family[::every])


def _spread(family: list[SceneDescription], number: int) -> SceneDescription:
    """Member `number` in an order that covers all objects early, by a stride that is coprime to most lengths."""
    return family[number * 37 % len(family)]
