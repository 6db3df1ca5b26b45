"""Scores of real scenes, which the dataset composes: how often are objects found, and how large are distances?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_fidelity.distances.frechet import frechet_distance, moments
from nanogen_fidelity.distances.kid import kid
from nanogen_fidelity.extractor import shared
from nanogen_files.images import resized, to_pil
from nanogen_photos.config import DetectedConfig, ScenesConfig
from nanogen_photos.dataset import Photos
from nanogen_photos.metrics import Detected, Scenes
from nanogen_photos.scenes import compose, render

BATCH = 32


def recalls(data: Photos, size: int, count: int, detector: Any = "nanodet") -> dict[str, float]:
    """Return the share of scenes in which the detector finds the labelled class, by class.

    The key `detected` has the mean over the classes. The key `elsewhere` has the rate of false detections: the share of
    pairs (scene, absent class) in which the class is found.

    Args:
        data: The dataset. The scenes are the first of its held-out split.
        size: Side of the scenes in pixels.
        count: Scenes of each class.
        detector: A component of the kind `detector`.
    """
    metric = Detected(DetectedConfig(detector=detector), dataset=data)
    examples, names = data.open("val", size, "labels"), data.classes
    indices = range(count * len(names))
    images = (to_pil(render(examples.scene(index), size, data.pictures)[None])[0] for index in indices)
    found = [metric.found(image) for image in images]
    by_class = {
        name: sum(name in one for one in found[label :: len(names)]) / count for label, name in enumerate(names)
    }
    right = sum(by_class.values()) * count
    others = sum(len(one & set(names)) for one in found) - right
    pairs = len(found) * (len(names) - 1)
    return {**by_class, "detected": right / len(found), "elsewhere": others / pairs}


def geneval(data: Photos, size: int, per_tag: int, detector: Any = "nanodet") -> Mapping[str, float]:
    """Return the scores of `photos-geneval` for one real scene of each prompt, without `_real` and `_relative` scores.

    Args:
        data: The dataset.
        size: Side of the scenes in pixels.
        per_tag: Maximum number of prompts of each tag.
        detector: A component of the kind `detector`.
    """
    metric = Scenes(ScenesConfig(prompts_per_tag=per_tag, images_per_prompt=1, detector=detector), dataset=data)
    for start in range(0, len(metric.lines), BATCH):
        lines = metric.lines[start : start + BATCH]
        scenes = [compose(line, f"calibration {line['prompt']}", data.pictures) for line in lines]
        images = [render(scene, size, data.pictures) for scene in scenes]
        indices = torch.arange(start, start + len(lines))
        metric.update(torch.stack(images), Batch(indices, captions=[line["prompt"] for line in lines]))
    return {name: value for name, value in metric.compute().items() if not name.endswith(("_real", "_relative"))}


def distances(data: Photos, size: int, count: int, features: Any) -> dict[str, tuple[float, float]]:
    """Return the Fréchet and the kernel Inception distance of sets of scenes to real scenes, by set.

    The sets: `real` has other real scenes, `blurred` the same scenes with a quarter of the resolution, `one class` real
    scenes of the first class. All scenes are held out and distinct.

    Args:
        data: The dataset. Its held-out split has at least `count` times the number of classes plus 2 scenes.
        size: Side of the scenes in pixels.
        count: Scenes of each set and of the reference.
        features: A component of the kind `features`.
    """
    extractor, examples = shared(features), data.open("val", size, "labels")

    def scenes(indices: range) -> Tensor:
        return torch.stack([render(examples.scene(index), size, data.pictures) for index in indices])

    # scene i has the label i modulo the number of classes, so every multiple of that number has the label 0
    classes = len(data.classes)
    start = -(-2 * count // classes) * classes
    real = scenes(range(count, 2 * count))
    sets = {
        "real": real,
        "blurred": resized(resized(real, size // 4), size).clamp(-1, 1),
        "one class": scenes(range(start, start + count * classes, classes)),
    }
    reference, found = extractor(scenes(range(count))), {}
    for name, images in sets.items():
        rows = extractor(images)
        found[name] = frechet_distance(moments(rows), moments(reference)), kid(rows, reference)
    return found
