"""The two judges as metrics of the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import chain, product

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Dataset
from nanogen_core.tensors import Batch
from nanogen_eval.rows import Rows
from nanogen_eval.score import DIGITS
from nanogen_openmoji import shipped
from nanogen_openmoji.classifier import Classifier
from nanogen_openmoji.drawings import class_names
from nanogen_openmoji.meaning import Group, Meaning, caption, prompts
from nanogen_openmoji.scene_reader import SceneReader
from nanogen_openmoji.scenes import World
from nanogen_openmoji.verdict import SKILLS, as_numbers, shares, verdict


class Accuracy:
    """`accuracy`: the share of pictures that the classifier names as asked, in [0, 1]."""

    higher_is_better = True
    score_names = ("accuracy",)

    classes = len(class_names())

    def __init__(self) -> None:
        self._judge = Classifier.load()
        self.settings = {"judge": shipped.digest("classifier")}
        self.reset()

    def reset(self) -> None:
        self._rows = Rows()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]; labels as asked."""
        assert batch.labels is not None
        named = self._judge.classify(images.cpu())
        self._rows.add(batch.indices, right=named == batch.labels.cpu())

    def compute(self) -> Mapping[str, float]:
        return self.resampled(torch.arange(self.units))

    def state(self) -> Mapping[str, Tensor]:
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._rows.merge(state)

    @property
    def units(self) -> int:
        """Pictures."""
        return len(self._rows)

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        return {"accuracy": float(self._rows["right"][units].double().mean())} if len(units) else {}


class Scenes:
    """`presence`, `colour`, `count`, `position`: the share of pictures, of those whose caption speaks of it, in which
    the scene reader finds it right; `scenes`: the mean of these shares, as GenEval's score is that over its tags;
    `scenes_unseen`: the same over the captions that the dataset keeps out of its scenes, where it does."""

    higher_is_better = True
    score_names = (*SKILLS, "scenes", "scenes_unseen")

    def __init__(self, *, dataset: Dataset) -> None:
        self._reader = SceneReader.load()
        self._world: World = getattr(dataset, "world", World())
        self.settings = {
            "judge": shipped.digest("scene_reader"),
            "captions": digest(meanings(self._world)),
            "held_out": digest(self._world.held_out),
        }
        self.reset()

    def reset(self) -> None:
        self._rows = Rows()

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]; captions of this dataset's kind, or NanoGenError."""
        found = self._reader.read(images.cpu())
        truths = meanings(self._world)
        verdicts = []
        for text, detections in zip(batch.captions or (), found, strict=True):
            if text not in truths:
                raise NanoGenError(
                    f"The metric openmoji-scenes cannot read the caption {text!r}: it knows its own only."
                )
            verdicts.append(verdict(truths[text], detections))
        unseen = torch.tensor([text in self._world.held_out for text in batch.captions or ()], dtype=torch.bool)
        self._rows.add(batch.indices, verdicts=as_numbers(verdicts), unseen=unseen)

    def compute(self) -> Mapping[str, float]:
        return self.resampled(torch.arange(self.units))

    def state(self) -> Mapping[str, Tensor]:
        return self._rows.state()

    def merge(self, state: Mapping[str, Tensor]) -> None:
        self._rows.merge(state)

    @property
    def units(self) -> int:
        """Pictures."""
        return len(self._rows)

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        if not len(units):
            return {}
        verdicts, unseen = self._rows["verdicts"][units], self._rows["unseen"][units]
        found = shares(verdicts)
        new = {"scenes_unseen": _mean(shares(verdicts[unseen]))} if unseen.any() else {}
        return {**found, "scenes": _mean(found), **new}


def digest(texts: Iterable[str]) -> str:
    """A hash of a set of texts."""
    return sha256("\n".join(sorted(texts)).encode()).hexdigest()[:DIGITS]


def _mean(found: Mapping[str, float]) -> float:
    return sum(found.values()) / len(found)


@lru_cache(maxsize=4)
def _meanings(objects: tuple[str, ...], colours: tuple[str, ...], counts: tuple[int, ...]) -> dict[str, Meaning]:
    plain = prompts(objects, colours, counts)
    paints = (None, *colours)
    counted = (
        Meaning(groups=(Group(name=n, colour=c, count=k),)) for n, c, k in product(objects, paints, (1, *counts))
    )
    related = (
        Meaning(groups=(Group(name=a, colour=p), Group(name=b, colour=q)), relation=relation)
        for (a, p), (b, q) in product(product(objects, paints), repeat=2)
        for relation in sorted({m.relation for m in plain["related"] if m.relation})
        if a != b
    )
    return {caption(meaning): meaning for meaning in chain(counted, related)}


def meanings(world: World) -> dict[str, Meaning]:
    """Every caption that this world's scenes can have, with what it says."""
    return _meanings(world.objects, world.colours, world.counts)
