"""The metric `geneval`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError, listing
from nanogen_core.named_components import build_named
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_files.images import to_pil
from nanogen_textscore.clip import Clip
from nanogen_textscore.config import GenEvalConfig
from nanogen_textscore.geneval.colours import ColourClassifier
from nanogen_textscore.geneval.correctness import check_image
from nanogen_textscore.geneval.detections import Rules, select_detections
from nanogen_textscore.geneval.folders import result, samples, write_layout
from nanogen_textscore.geneval.metadata import classes, read_metadata, tag_counts
from nanogen_textscore.geneval.official import lines_digest, official_metadata
from nanogen_textscore.prompts import PROMPT, Prompts
from nanogen_textscore.protocols import Detector


class GenEval(ResampledRowMetric):
    """`geneval_<tag>`: the share of the tag's images that are correct. `geneval`: the mean over the tags, the
    official score. `geneval_images`: the mean over images, as in the published DiffusionBench table.

    All scores are in [0, 1]. The six official tags have 80 to 100 prompts each, so `geneval` and `geneval_images`
    differ slightly (by less than 0.05). The bootstrap resamples prompts.
    """

    metric = "geneval"  # its name in a configuration, for error messages
    higher_is_better = True
    unit_column = PROMPT

    def __init__(self, config: GenEvalConfig):
        super().__init__()
        self._config = config
        self._rules = Rules(
            threshold=config.threshold,
            counting_threshold=config.counting_threshold,
            max_objects=config.max_objects,
            max_overlap=config.max_overlap,
            position_threshold=config.position_threshold,
        )
        self._detector: Detector = build_named("detector", config.detector, path=f"metric.{self.metric}.detector")
        self._clip = Clip(config.clip, option=f"metric.{self.metric}.clip")
        self._colours = ColourClassifier(self._clip)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "prompts": lines_digest(self.lines),
            "images_per_prompt": self._config.images_per_prompt,
            "detector": self._detector.settings,
            **({"clip": self._clip.settings} if self._has_colours else {}),
            "rules": {name: getattr(self._config, name) for name in Rules.__annotations__},
        }

    @cached_property
    def score_names(self) -> list[str]:
        return ["geneval", "geneval_images", *(f"geneval_{name}" for name in self._names)]

    def eval_batch(self) -> Batch:
        """Return the prompts with `images_per_prompt` rows each. Raises DataError if `metadata` cannot be read."""
        return self._prompts.eval_batch()

    def layout(self, folder: Path) -> list[Path]:
        """Write the official folders, and return the file of each image in them."""
        return write_layout(folder, self.lines, self._config.images_per_prompt)

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Check each image against its prompt. Images are processed one at a time."""
        numbers = self._prompts.numbers(batch)
        self._move(images.device)
        pairs = zip(to_pil(images), numbers.tolist(), strict=True)
        correct = [bool(self.evaluate_image(image, self.lines[number])["correct"]) for image, number in pairs]
        return {PROMPT: numbers, "correct": torch.tensor(correct, dtype=torch.bool)}

    def evaluate_image(self, image: Image.Image, line: Mapping[str, Any], file: str = "") -> dict[str, Any]:
        """Evaluate one image.

        Args:
            image: An RGB image.
            line: The metadata line of its prompt.
            file: The `filename` in the result.

        Returns:
            A line of the official results file.
        """
        lowest = min(self._config.threshold, self._config.counting_threshold)
        found = self._checked_detector.detect(image, lowest)
        detections = select_detections(found, line["tag"], self._rules)
        correct, reason = check_image(
            detections,
            line,
            lambda members, noun: self._colours(image, members, noun),
            margin=self._config.position_threshold,
        )
        return result(file, line, correct, reason, detections)

    def evaluate_folder(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Evaluate the images in a folder of the official tool.

        Yields a line of the official results file for each. `folders.write_results` writes them.
        """
        for sample in samples(folder):
            yield self.evaluate_image(sample.image(), sample.line, str(sample.file))

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        correct, tags = rows["correct"].double(), self._tags[rows[PROMPT]]
        by_tag = {
            name: float(correct[tags == number].mean())
            for number, name in enumerate(self._names)
            if (tags == number).any()
        }
        means = {"geneval": sum(by_tag.values()) / len(by_tag), "geneval_images": float(correct.mean())}
        return {**means, **{f"geneval_{name}": value for name, value in by_tag.items()}}

    def _move(self, device: torch.device) -> None:
        self._detector.to(device)
        self._clip.to(device)

    @cached_property
    def _checked_detector(self) -> Detector:
        """The detector. Raises DataError if it lacks a class of the prompts."""
        unknown = classes(self.lines) - self._detector.classes
        if unknown:
            raise DataError(
                f"The detector {self._detector.settings['model']!r} lacks classes of the prompts, such as "
                f"{listing(sorted(unknown)[:5])}. Use a detector that has them. "
                "The official prompts need COCO's 80 classes."
            )
        return self._detector

    @cached_property
    def lines(self) -> Sequence[Mapping[str, Any]]:
        """The metadata lines of the prompts. A subclass may override this.

        Raises DataError if `metadata` cannot be read.
        """
        chosen = self._config.metadata
        return official_metadata() if chosen is None else read_metadata(chosen)

    @property
    def _has_colours(self) -> bool:
        return any("color" in item for line in self.lines for item in line["include"])

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts("GenEval", [line["prompt"] for line in self.lines], self._config.images_per_prompt)

    @cached_property
    def _names(self) -> list[str]:
        return list(tag_counts(self.lines))

    @cached_property
    def _tags(self) -> Tensor:
        """The tag of each prompt, as an index into `_names` [P]."""
        return torch.tensor([self._names.index(line["tag"]) for line in self.lines])
