"""Scores of real scenes, which the dataset composes: how often does the detector find objects that are present?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nanogen_core.tensors import Batch
from nanogen_files.images import to_pil
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
