"""The detector `mask2former` (Cheng et al., arXiv 2112.01527), through transformers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from PIL import Image

from nanogen_textscore.config import Mask2FormerConfig
from nanogen_textscore.geneval.boxes import box_of_mask
from nanogen_textscore.geneval.detections import Detection
from nanogen_textscore.geneval.instances import Instance, instances
from nanogen_textscore.models import Model

#: Class names of the published weights -> class names of GenEval's metadata, if they differ.
METADATA_NAMES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "mouse": "computer mouse",
    "remote": "tv remote",
    "keyboard": "computer keyboard",
}


class Mask2Former:
    """Mask2Former, the detector of the DiffusionBench evaluation. GenEval's original tool uses mmdet's weights."""

    def __init__(self, config: Mask2FormerConfig):
        self._config = config
        self._model = Model(config.path, "detector.path")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        short, long = self._config.shortest, self._config.longest
        return {"kind": "mask2former (transformers)", **self._model.settings, "sides": [short, long]}

    @property
    def classes(self) -> frozenset[str]:
        """The classes that the detector can find, under the names of GenEval's metadata."""
        return frozenset(self._names.values())

    def to(self, device: torch.device | str) -> Mask2Former:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def detect(self, image: Image.Image, threshold: float) -> dict[str, list[Detection]]:
        """Return the detections with a score of at least `threshold` in an RGB image, by class name."""
        sides = {"shortest_edge": self._config.shortest, "longest_edge": self._config.longest}
        inputs = self._processor(images=image, size=sides, return_tensors="pt").to(self._device)
        outputs = self._network.to(self._device)(**inputs)
        found = instances(
            outputs.class_queries_logits[0],
            outputs.masks_queries_logits[0],
            image_size=tuple(inputs["pixel_values"].shape[-2:]),
            target_size=(image.height, image.width),
            threshold=threshold,
        )
        by_class: dict[str, list[Detection]] = {}
        for one in found:
            by_class.setdefault(self._names[one.label], []).append(_detection(one))
        return by_class

    @cached_property
    def _names(self) -> dict[int, str]:
        names = self._network.config.id2label
        return {number: METADATA_NAMES.get(name, name) for number, name in names.items()}

    @cached_property
    def _network(self) -> Any:
        from transformers import Mask2FormerForUniversalSegmentation

        return self._model.network(Mask2FormerForUniversalSegmentation, dtype=torch.float32)

    @cached_property
    def _processor(self) -> Any:
        from transformers import Mask2FormerImageProcessorPil

        return self._model.helper(Mask2FormerImageProcessorPil)


def _detection(instance: Instance) -> Detection:
    mask = instance.mask.numpy().astype("uint8") * 255
    box = box_of_mask(mask)
    assert box is not None  # `instances` drops empty masks
    return Detection(box, instance.score, mask)
