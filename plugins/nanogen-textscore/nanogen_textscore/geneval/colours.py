"""The colour of an object: CLIP's choice among ten, of the picture around it with everything else grey."""

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


def crop(picture: Image.Image, detection: Detection) -> Image.Image:
    """The object's box of the picture [RGB], grey outside of its mask.

    As published, the box's last row and column are lost: its corners are inclusive, and cutting takes them as
    exclusive. At least one pixel is left, where the published code would fail.
    """
    if detection.mask is not None:
        around = Image.new("RGB", picture.size, GREY)
        picture = Image.composite(picture, around, Image.fromarray(detection.mask))
    left, top, right, bottom = (round(corner) for corner in detection.box)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


class ColourNamer:
    """Names the colours of objects. Texts are encoded once for each noun."""

    def __init__(self, clip: Clip):
        self._clip = clip
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, picture: Image.Image, detections: Sequence[Detection], noun: str) -> list[str]:
        """One of COLOURS for each detection of a picture [RGB]."""
        images = torch.cat([self._clip.images([crop(picture, one)]) for one in detections])  # [n, D]
        nearest = (images @ self._directions(noun).T).argmax(1)
        return [COLOURS[place] for place in nearest.tolist()]

    def _directions(self, noun: str) -> Tensor:
        """The mean text of each colour [10, D], of unit length."""
        if noun not in self._known:
            texts = [template.format(colour=colour, noun=noun) for colour in COLOURS for template in TEMPLATES]
            encoded = self._clip.texts(texts).reshape(len(COLOURS), len(TEMPLATES), -1)  # [10, 3, D]
            self._known[noun] = F.normalize(encoded.mean(1), dim=-1)
        return self._known[noun]
