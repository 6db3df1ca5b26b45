"""The metrics `openmoji-accuracy` and `openmoji-scenes`."""

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
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_eval.score import DIGITS
from nanogen_openmoji import weights_files
from nanogen_openmoji.captions import ObjectGroup, SceneDescription, caption, prompts
from nanogen_openmoji.classifier import Classifier
from nanogen_openmoji.emojis import class_names
from nanogen_openmoji.scene_reader import SceneReader
from nanogen_openmoji.scenes import World
from nanogen_openmoji.scoring import SKILLS, accuracies, check_scene, to_tensor


class Accuracy(ResampledRowMetric):
    """`accuracy`: the share of images that the classifier assigns to their label, in [0, 1]."""

    higher_is_better = True
    score_names = ("accuracy",)
    classes = len(class_names())

    def __init__(self) -> None:
        super().__init__()
        self._classifier = Classifier.load()
        self.settings = {"judge": weights_files.digest("classifier")}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Classify images, and compare the classes with the labels of the batch."""
        assert batch.labels is not None
        return {"right": self._classifier.classify(images.cpu()) == batch.labels.cpu()}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"accuracy": float(rows["right"].double().mean())}


class Scenes(ResampledRowMetric):
    """`presence`, `colour`, `count`, `position`: the share of images that are correct in this skill, among images whose
    captions specify it. `scenes`: the mean over the skills that any caption specifies, as in GenEval. `scenes_unseen`:
    `scenes` over held-out captions only, if there are any.

    The scene reader detects the objects. All scores are in [0, 1].
    """

    higher_is_better = True
    score_names = (*SKILLS, "scenes", "scenes_unseen")

    def __init__(self, *, dataset: Dataset) -> None:
        super().__init__()
        self._reader = SceneReader.load()
        self._world: World = getattr(dataset, "world", World())
        self.settings = {
            "judge": weights_files.digest("scene_reader"),
            "captions": digest(descriptions(self._world)),
            "held_out": digest(self._world.held_out),
        }

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Check images against their captions. Raises NanoGenError for a caption that the dataset cannot have."""
        known = descriptions(self._world)
        captions = batch.captions or []
        results = []
        for text, detections in zip(captions, self._reader.read(images.cpu()), strict=True):
            if text not in known:
                raise NanoGenError(
                    f"The metric openmoji-scenes cannot read the caption {text!r}. Use captions of the dataset"
                    " openmoji."
                )
            results.append(check_scene(known[text], detections))
        unseen = torch.tensor([text in self._world.held_out for text in captions], dtype=torch.bool)
        return {"verdicts": to_tensor(results), "unseen": unseen}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        results, unseen = rows["verdicts"], rows["unseen"]
        by_skill = accuracies(results)
        held_out = {"scenes_unseen": _mean(accuracies(results[unseen]))} if unseen.any() else {}
        return {**by_skill, "scenes": _mean(by_skill), **held_out}


def digest(texts: Iterable[str]) -> str:
    """Return a hash of a set of texts."""
    return sha256("\n".join(sorted(texts)).encode()).hexdigest()[:DIGITS]


def descriptions(world: World) -> dict[str, SceneDescription]:
    """Map every caption of a world, including held-out ones, to its scene description."""
    return _descriptions(world.objects, world.colours, world.counts)


@lru_cache(maxsize=4)
def _descriptions(
    objects: tuple[str, ...], colours: tuple[str, ...], counts: tuple[int, ...]
) -> dict[str, SceneDescription]:
    related = prompts(objects, colours, counts)["related"]
    relations = sorted({one.relation for one in related if one.relation})
    optional_colours = (None, *colours)
    single = (
        SceneDescription(groups=(ObjectGroup(name=name, colour=colour, count=count),))
        for name, colour, count in product(objects, optional_colours, (1, *counts))
    )
    pairs = (
        SceneDescription(groups=(ObjectGroup(name=a, colour=p), ObjectGroup(name=b, colour=q)), relation=relation)
        for (a, p), (b, q) in product(product(objects, optional_colours), repeat=2)
        for relation in relations
        if a != b
    )
    return {caption(one): one for one in chain(single, pairs)}


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
