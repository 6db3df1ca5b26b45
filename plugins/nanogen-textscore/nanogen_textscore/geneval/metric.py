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
from nanogen_core.tensors import Batch
from nanogen_files.images import to_pil
from nanogen_textscore.clip import Clip
from nanogen_textscore.config import GenEvalConfig
from nanogen_textscore.frozen import frozen_judge
from nanogen_textscore.geneval.colours import ColourNamer
from nanogen_textscore.geneval.detections import Rules, kept
from nanogen_textscore.geneval.folders import lay_out, result, samples
from nanogen_textscore.geneval.metadata import classes, read_metadata, tag_counts
from nanogen_textscore.geneval.official import lines_digest, official_metadata
from nanogen_textscore.geneval.verdict import verdict
from nanogen_textscore.kept import PROMPT, Kept
from nanogen_textscore.prompts import Prompts


class GenEval(Kept):
    """`geneval`: the official mean over the six tags; `geneval_images`: the mean over images, which the published
    DiffusionBench table uses; `geneval_<tag>`: the share of that tag's images that are right. All in [0, 1].

    The tags have 80 to 100 prompts, so that the first two differ by up to a point.
    """

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
        self._detector = frozen_judge("detector", config.detector, path="detector")
        self._clip = Clip(config.clip, option="geneval.clip")
        self._colours = ColourNamer(self._clip)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "prompts": lines_digest(self._lines),
            "images_per_prompt": self._config.images_per_prompt,
            "detector": self._detector.settings,
            "clip": self._clip.settings,
            "rules": {name: getattr(self._config, name) for name in Rules.__annotations__},
        }

    @cached_property
    def score_names(self) -> list[str]:
        return ["geneval", "geneval_images", *(f"geneval_{name}" for name in self._names)]

    def eval_batch(self) -> Batch:
        """The prompts, `images_per_prompt` rows each. Raises DataError where a file was named and is missing."""
        return self._prompts.eval_batch()

    def layout(self, folder: Path) -> list[Path]:
        """Makes the official folders, and says where the image of each question is to lie in them."""
        return lay_out(folder, self._lines, self._config.images_per_prompt)

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1] and the questions that they answer. They are judged one by one."""
        numbers = self._prompts.numbers(batch)
        self._move(images.device)
        pairs = zip(to_pil(images), numbers.tolist(), strict=True)
        correct = [bool(self.judge(picture, self._lines[number])["correct"]) for picture, number in pairs]
        self.keep(batch.indices, numbers, correct=torch.tensor(correct, dtype=torch.bool))

    def judge(self, picture: Image.Image, line: Mapping[str, Any], file: str = "") -> dict[str, Any]:
        """The line of the official results for one picture [RGB] of `file`."""
        found = kept(self._known_detector.detect(picture, self._config.threshold), line["tag"], self._rules)
        right, reason = verdict(
            found,
            line,
            lambda those, noun: self._colours(picture, those, noun),
            margin=self._config.position_threshold,
        )
        return result(file, line, right, reason, found)

    def judge_folder(self, folder: Path) -> Iterator[dict[str, Any]]:
        """The official results of an official folder, one after the other (`folders.write_results` writes them)."""
        for sample in samples(folder):
            yield self.judge(sample.picture(), sample.line, str(sample.file))

    def scores(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        correct, tags = rows["correct"].double(), self._tags[rows[PROMPT]]
        by_tag = {
            name: float(correct[tags == place].mean())
            for place, name in enumerate(self._names)
            if (tags == place).any()
        }
        means = {"geneval": sum(by_tag.values()) / len(by_tag), "geneval_images": float(correct.mean())}
        return {**means, **{f"geneval_{name}": value for name, value in by_tag.items()}}

    def _move(self, device: torch.device) -> None:
        self._detector.to(device)
        self._clip.to(device)

    @cached_property
    def _known_detector(self) -> Any:
        """The detector, after a look at whether it can find what the prompts ask for."""
        unknown = classes(self._lines) - self._detector.classes
        if unknown:
            raise DataError(
                f"The detector {self._detector.settings['model']!r} does not know {listing(sorted(unknown)[:5])}, for "
                f"which the prompts ask: choose one that was trained on COCO's 80 classes."
            )
        return self._detector

    @cached_property
    def _lines(self) -> Sequence[Mapping[str, Any]]:
        chosen = self._config.metadata
        return official_metadata() if chosen is None else read_metadata(chosen)

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts("GenEval", [line["prompt"] for line in self._lines], self._config.images_per_prompt)

    @cached_property
    def _names(self) -> list[str]:
        return list(tag_counts(self._lines))

    @cached_property
    def _tags(self) -> Tensor:
        """The tag of each prompt, by its place in `_names`."""
        return torch.tensor([self._names.index(line["tag"]) for line in self._lines])
