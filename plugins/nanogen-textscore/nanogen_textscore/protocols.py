"""Protocols of the networks that the metrics use: one for each kind of component that this plugin declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from nanogen_textscore.geneval.detections import Detection


class ImageKey(NamedTuple):
    """Identifies an image of a benchmark: the id of its prompt, and its number among that prompt's images, from 0."""

    item: str
    number: int


class Detector(Protocol):
    """A frozen object detector, for `geneval`."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that detections depend on. `settings["model"]` names the model."""

    @property
    def classes(self) -> Set[str]:
        """The classes that the detector can find, under the names of GenEval's metadata."""

    def to(self, device: torch.device | str) -> object:
        """Run later calls on a device."""

    def detect(self, image: Image.Image, threshold: float) -> Mapping[str, Sequence[Detection]]:
        """Return the detections with a score of at least `threshold` in an RGB image, by class name."""


class VQAModel(Protocol):
    """A visual question answering model, for `dpgbench`."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that answers depend on."""

    def to(self, device: torch.device | str) -> object:
        """Run later calls on a device."""

    def answer(self, image: Image.Image, questions: Sequence[str], key: ImageKey) -> Sequence[str]:
        """Answer questions about an RGB image.

        Args:
            questions: Questions in English.
            key: Identifies the image, for models that read recorded answers.

        Returns:
            One lower-case answer per question. `"yes"` counts as yes, any other answer as no.
        """


class VQAScoreModel(Protocol):
    """A model of VQAScore (arXiv 2404.01291), for `vqascore` and `genaibench`. Scores one image at a time."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that scores depend on."""

    def to(self, device: torch.device | str) -> object:
        """Run later calls on a device."""

    def score(self, image: Image.Image, text: str) -> float:
        """Return the probability in [0, 1] that an RGB image shows a text."""
