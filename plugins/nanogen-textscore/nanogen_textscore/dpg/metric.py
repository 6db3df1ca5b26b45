"""The metric `dpgbench`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.named_components import build_named
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_eval.sources import Source
from nanogen_files import text_files
from nanogen_files.hashing import content_hash
from nanogen_files.images import to_pil
from nanogen_textscore.config import DPGConfig
from nanogen_textscore.dpg.grids import image_file
from nanogen_textscore.dpg.questions import DOWNLOAD, Items, read_prompts, read_questions
from nanogen_textscore.dpg.scoring import YES, AnswerScores, category_1, category_2, score_answers
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.prompts import PROMPT, Prompts
from nanogen_textscore.protocols import ImageKey, VQAModel

SKIPPED = "skipped"
ABSENT = -1  # fills the rows of prompts with fewer questions than the prompt with the most


class DPGBench(ResampledRowMetric):
    """`dpgbench`: the mean over images of the share of questions that are answered with yes. A question counts as no if
    a question that it depends on counts as no. `dpgbench_<category>`: the share of yes answers in a category of
    level 1, such as `attribute`, or level 2, such as `attribute_color`, before dependencies are applied.

    All scores are in [0, 1]; the original tool prints them times 100. The bootstrap resamples prompts.
    """

    higher_is_better = True
    unit_column = PROMPT

    def __init__(self, config: DPGConfig):
        super().__init__()
        self._config = config
        self._vqa: VQAModel = build_named("vqa_model", config.vqa, path="metric.dpgbench.vqa")
        self._keys: Mapping[int, ImageKey] | None = None  # image index -> key; None: images in the benchmark's order

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "prompts": self._prompts.digest,
            "questions": content_hash(self._questions_file),
            "images_per_prompt": self._config.images_per_prompt,
            "first_row": self._config.first_row,
            "vqa": self._vqa.settings,
        }

    @cached_property
    def score_names(self) -> list[str]:
        return ["dpgbench", *self._categories]

    def eval_batch(self) -> Batch:
        """Return the prompts in the order of their ids, `images_per_prompt` rows each.

        Raises DataError for an unreadable file.
        """
        return self._prompts.eval_batch()

    def layout(self, folder: Path) -> list[Path]:
        """Return the file of each image as the original tool expects it: `<item_id>.png`.

        Several images of a prompt go to the folder `<item_id>`, which `grids.join` turns into one file.
        """
        each = self._config.images_per_prompt
        if each == 1:
            return [folder / f"{item}.png" for item in self._ids]
        return [image_file(folder, item, number) for item in self._ids for number in range(each)]

    def compare_with(self, source: Source) -> None:
        """Number the images of each prompt as they come in `source`. Their order may differ from the benchmark's.

        Raises NanoGenError for a caption that is not a prompt of the benchmark.
        """
        numbers, seen = self._prompts.numbers(source.requests).tolist(), Counter[int]()
        self._keys = {}
        for index, number in zip(source.requests.indices.tolist(), numbers, strict=True):
            self._keys[index] = ImageKey(self._ids[number], seen[number])
            seen[number] += 1

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Answer all questions about each image. Images are processed one at a time."""
        numbers = self._prompts.numbers(batch)
        self._vqa.to(images.device)
        results = [
            self._scored(image, self._key(number, index))
            for image, number, index in zip(to_pil(images), numbers.tolist(), batch.indices.tolist(), strict=True)
        ]
        answers = torch.full((len(results), self._most), ABSENT, dtype=torch.int8)
        for row, result in enumerate(results):
            answers[row, : len(result.raw)] = torch.tensor(list(result.raw.values()))
        score = torch.tensor([result.score for result in results], dtype=torch.float64)
        return {PROMPT: numbers, "answers": answers, "score": score}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"dpgbench": float(rows["score"].mean()), **self._by_category(rows["answers"], rows[PROMPT])}

    def _key(self, number: int, index: int) -> ImageKey:
        if self._keys is not None:
            return self._keys[index]
        expected, within = divmod(index, self._config.images_per_prompt)
        if number != expected:
            raise NanoGenError(
                f"dpgbench: image {index} is of the prompt {self._ids[number]!r}, but image {index} of the benchmark "
                "is of another prompt. For images in another order, call `compare_with(source)` before `update`."
            )
        return ImageKey(self._ids[number], within)

    def _scored(self, image: Image.Image, key: ImageKey) -> AnswerScores:
        questions = self._questions[key.item]
        answers = self._vqa.answer(image, [question.text for question in questions.values()], key)
        raw = {number: float(answer == YES) for number, answer in zip(questions, answers, strict=True)}
        return score_answers(raw, {number: question.parents for number, question in questions.items()})

    def _by_category(self, answers: Tensor, numbers: Tensor) -> dict[str, float]:
        """Return the share of yes answers in each category, by score name.

        `answers` are [N, Q], prompt numbers are [N].
        """
        points, means = answers.double(), {}
        for name, members in self._categories.items():
            chosen = members[numbers]  # [N, Q] bool
            if chosen.any():
                means[name] = float(points[chosen].mean())
        return means

    @cached_property
    def _categories(self) -> dict[str, Tensor]:
        """Score name of each category -> the questions of each prompt that belong to it, [P, Q] bool."""
        found: dict[str, Tensor] = {}
        for number, item in enumerate(self._ids):
            for column, question in enumerate(self._questions[item].values()):
                for name in {_score_name(category_1(question.about)), _score_name(category_2(question.about))}:
                    empty = torch.zeros(len(self._ids), self._most, dtype=torch.bool)
                    found.setdefault(name, empty)[number, column] = True
        return dict(sorted(found.items()))

    @cached_property
    def _most(self) -> int:
        """Q, the largest number of questions of a prompt."""
        return max(len(questions) for questions in self._questions.values())

    @cached_property
    def _ids(self) -> list[str]:
        return list(self._texts)

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts("DPG-Bench", list(self._texts.values()), self._config.images_per_prompt)

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return read_prompts(self._prompts_path)

    @cached_property
    def _questions(self) -> Items:
        skip, source = self._config.first_row == SKIPPED, str(self._questions_file)
        items = read_questions(text_files.read(self._questions_file), skip_first_row=skip, source=source)
        missing = [item for item in self._texts if item not in items]
        if missing:
            raise DataError(
                f"{source} has no questions for the prompt {missing[0]!r} of {self._prompts_path}. {DOWNLOAD}"
            )
        return items

    @cached_property
    def _prompts_path(self) -> Path:
        return benchmark_file(self._config.prompts, "prompts", "dpgbench/prompts")

    @cached_property
    def _questions_file(self) -> Path:
        return benchmark_file(self._config.questions, "questions", "dpgbench/dpg_bench.csv")


def _score_name(category: str) -> str:
    """Return the score name of a category: `"dpgbench_relation_non_spatial"` of `"relation - non-spatial"`."""
    return "_".join(["dpgbench", *re.findall(r"\w+", category)])
