"""The two judges as metrics of the core."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain, product

from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.protocols import Dataset
from nanogen_core.tensors import Batch
from nanogen_openmoji.classifier import Classifier
from nanogen_openmoji.meaning import Group, Meaning, caption, prompts
from nanogen_openmoji.scene_reader import SceneReader
from nanogen_openmoji.scenes import World
from nanogen_openmoji.verdict import Verdict, rates, verdict


class Accuracy:
    """`accuracy`: the share of pictures that the classifier names as asked, in [0, 1]."""

    higher_is_better = True

    def __init__(self) -> None:
        self._judge = Classifier.load()
        self.reset()

    def reset(self) -> None:
        self._right = self._seen = 0

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]; labels as asked."""
        assert batch.labels is not None
        named = self._judge.classify(images.cpu())
        self._right += int((named == batch.labels.cpu()).sum())
        self._seen += len(named)

    def compute(self) -> Mapping[str, float]:
        return {"accuracy": self._right / max(1, self._seen)}


class Scenes:
    """`presence`, `colour`, `count`, `position`: the share of pictures, of those whose caption speaks of it, in which
    the scene reader finds it right."""

    higher_is_better = True

    def __init__(self, *, dataset: Dataset) -> None:
        self._reader = SceneReader.load()
        self._world: World = getattr(dataset, "world", World())
        self.reset()

    def reset(self) -> None:
        self._verdicts: list[Verdict] = []

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1]; captions of this dataset's kind, or NanoGenError."""
        found = self._reader.read(images.cpu())
        truths = meanings(self._world)
        for text, detections in zip(batch.captions or (), found, strict=True):
            if text not in truths:
                raise NanoGenError(
                    f"The metric openmoji-scenes cannot read the caption {text!r}: it knows its own only."
                )
            self._verdicts.append(verdict(truths[text], detections))

    def compute(self) -> Mapping[str, float]:
        return rates(self._verdicts)


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
