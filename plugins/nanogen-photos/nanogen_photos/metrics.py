"""The metrics `photos-detected` and `photos-geneval`. Both also report the score of real scenes: scenes that the
dataset composes, in the size of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.named_components import build_named
from nanogen_core.protocols import Dataset
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_files.images import to_pil
from nanogen_photos.config import DetectedConfig, ScenesConfig
from nanogen_photos.dataset import Photos
from nanogen_photos.pictures import Pictures
from nanogen_photos.prompts import Line, single, some_lines
from nanogen_photos.scenes import compose, render
from nanogen_textscore.config import GenEvalConfig
from nanogen_textscore.geneval.detections import Rules, select_detections
from nanogen_textscore.geneval.metric import GenEval
from nanogen_textscore.prompts import PROMPT
from nanogen_textscore.protocols import Detector


class Detected(ResampledRowMetric):
    """`detected`: the share of images in which the detector finds the class of the label, in [0, 1].

    `detected_real`: the same share for real scenes, with the labels and size of the images. `detected_relative`:
    `detected` / `detected_real`. It is left out if `detected_real` is 0.
    """

    higher_is_better = True
    score_names = ("detected", "detected_real", "detected_relative")

    def __init__(self, config: DetectedConfig, *, dataset: Dataset):
        super().__init__()
        self._config, self._pictures = config, _pictures(dataset, "photos-detected")
        self._detector: Detector = build_named("detector", config.detector, path="metric.photos-detected.detector")
        self.classes = len(self._pictures.classes)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "detector": self._detector.settings,
            "threshold": self._config.threshold,
            "classes": list(self._pictures.classes),
        }

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Look for the class of each label in its image and in a real scene. Images are processed one at a time."""
        assert batch.labels is not None
        self._detector.to(images.device)
        names = [self._pictures.classes[label] for label in batch.labels.tolist()]
        found = [name in self.found(image) for image, name in zip(to_pil(images), names, strict=True)]
        scenes = _real([single(name) for name in names], images, batch, self._pictures)
        real = [name in self.found(image) for image, name in zip(scenes, names, strict=True)]
        return {"found": torch.tensor(found), "real": torch.tensor(real)}

    def found(self, image: Image.Image) -> set[str]:
        """Return the classes that the detector finds in an image."""
        detections = self._detector.detect(image, self._config.threshold)
        return set(select_detections(detections, "single_object", Rules(threshold=self._config.threshold)))

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        found, real = (float(rows[name].double().mean()) for name in ("found", "real"))
        return {"detected": found, "detected_real": real, **_relative("detected", found, real)}


class Scenes(GenEval):
    """GenEval's scores `geneval`, `geneval_images` and `geneval_<tag>`, in [0, 1], for the prompts of
    `nanogen_photos.prompts`.

    `geneval_real`: `geneval` of real scenes, with the prompts and size of the images. `geneval_relative`: `geneval` /
    `geneval_real`. It is left out if `geneval_real` is 0.
    """

    metric = "photos-geneval"

    def __init__(self, config: ScenesConfig, *, dataset: Dataset):
        rules = {name: getattr(config, name) for name in Rules.__annotations__}
        options = {"detector": config.detector, "images_per_prompt": config.images_per_prompt}
        super().__init__(GenEvalConfig(**options, **rules))
        self._pictures = _pictures(dataset, "photos-geneval")
        self._per_tag = config.prompts_per_tag

    @cached_property
    def lines(self) -> Sequence[Line]:
        return some_lines(self._pictures.classes, self._per_tag)

    @cached_property
    def score_names(self) -> list[str]:
        return [*super().score_names, "geneval_real", "geneval_relative"]

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Check each image, and a real scene of its prompt, against the prompt. Images are processed one at a time."""
        rows = super().measure(images, batch)
        lines = [self.lines[number] for number in rows[PROMPT].tolist()]
        pairs = zip(_real(lines, images, batch, self._pictures), lines, strict=True)
        real = [bool(self.evaluate_image(image, line)["correct"]) for image, line in pairs]
        return {**rows, "real": torch.tensor(real, dtype=torch.bool)}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        scores = super().score(rows)
        real = super().score({**rows, "correct": rows["real"]})["geneval"]
        return {**scores, "geneval_real": real, **_relative("geneval", scores["geneval"], real)}


def _pictures(dataset: Dataset, metric: str) -> Pictures:
    if not isinstance(dataset, Photos):
        raise NanoGenError(f"The metric {metric} needs the dataset photos. Set `dataset: photos`.")
    return dataset.pictures


def _real(lines: Sequence[Line], images: Tensor, batch: Batch, pictures: Pictures) -> list[Image.Image]:
    """Render a real scene of each line, in the size of the images. The image index is its seed."""
    size = images.shape[-1]
    scenes = [compose(line, f"real {i}", pictures) for line, i in zip(lines, batch.indices.tolist(), strict=True)]
    return to_pil(torch.stack([render(scene, size, pictures) for scene in scenes]))


def _relative(name: str, value: float, real: float) -> dict[str, float]:
    return {f"{name}_relative": value / real} if real else {}
