"""Classifies the colours of detected objects by CLIP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nanogen_textscore.clip import Clip
from nanogen_textscore.geneval.detections import Detection

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
TEMPLATES = ("a photo of a {colour} {noun}", "a photo of a {colour}-colored {noun}", "a photo of a {colour} object")
GREY = (153, 153, 153)  # #999


def crop(image: Image.Image, detection: Detection) -> Image.Image:
    """Crop an RGB image to the box of a detection, with grey outside its mask.

    As in the published code, the crop lacks the last row and column of the box, because inclusive corners are used as
    exclusive ones. The published code fails for a box that is one pixel wide or high; here the crop is one pixel wide
    or high too.
    """
    if detection.mask is not None:
        background = Image.new("RGB", image.size, GREY)
        image = Image.composite(image, background, Image.fromarray(detection.mask))
    left, top, right, bottom = (round(corner) for corner in detection.box)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


class ColourClassifier:
    """Zero-shot CLIP classifier of the ten colours. Text embeddings are cached by noun."""

    def __init__(self, clip: Clip):
        self._clip = clip
        self._cache: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, image: Image.Image, detections: Sequence[Detection], noun: str) -> list[str]:
        """Return one of COLOURS for each detection of `noun` in an RGB image."""
        images = torch.cat([self._clip.images([crop(image, one)]) for one in detections])  # [n, D]
        nearest = (images @ self._text_embeddings(noun).T).argmax(1)
        return [COLOURS[number] for number in nearest.tolist()]

    def _text_embeddings(self, noun: str) -> Tensor:
        """Return the mean text embedding of each colour over the templates [10, D], of unit length."""
        if noun not in self._cache:
            texts = [template.format(colour=colour, noun=noun) for colour in COLOURS for template in TEMPLATES]
            encoded = self._clip.texts(texts).reshape(len(COLOURS), len(TEMPLATES), -1)  # [10, 3, D]
            self._cache[noun] = F.normalize(encoded.mean(1), dim=-1)
        return self._cache[noun]
