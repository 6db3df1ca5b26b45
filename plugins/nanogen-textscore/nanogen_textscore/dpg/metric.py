"""The metric `dpgbench`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_files import text_files
from nanogen_files.hashing import content_hash
from nanogen_files.images import to_pil
from nanogen_textscore.config import DPGConfig
from nanogen_textscore.dpg.answers import Answerer, Place
from nanogen_textscore.dpg.grids import picture_file
from nanogen_textscore.dpg.questions import Items, read_prompts, read_questions
from nanogen_textscore.dpg.scoring import YES, Judged, broad, detailed, judged
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.frozen import frozen_judge
from nanogen_textscore.kept import PROMPT, Kept
from nanogen_textscore.prompts import Prompts

SKIPPED = "skipped"
ABSENT = -1  # where a prompt has fewer questions than another


class DPGBench(Kept):
    """`dpgbench`: the mean over images of the share of questions that are answered with yes, a question counting as
    wrong where one that it depends on is; `dpgbench_<category>`: the mean raw answer in a category, of level 1 such as
    `attribute` and of level 2 such as `attribute_color`. All in [0, 1]; the original tool prints them times 100.
    """

    def __init__(self, config: DPGConfig):
        super().__init__()
        self._config = config
        self._vqa: Answerer = frozen_judge("vqa", config.vqa, path="vqa")

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
        """The official prompts in the order of their ids. Raises DataError where a file is missing."""
        return self._prompts.eval_batch()

    def layout(self, folder: Path) -> list[Path]:
        """Where the original tool looks for the image of each question: `<item_id>.png`. Several of one prompt lie in a
        folder of its name until `grids.join` makes one of them."""
        each = self._config.images_per_prompt
        if each == 1:
            return [folder / f"{item}.png" for item in self._ids]
        return [picture_file(folder, item, number) for item in self._ids for number in range(each)]

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1] and the questions that they answer. They are judged one by one."""
        numbers = self._prompts.numbers(batch)
        self._vqa.to(images.device)
        judgements = [
            self._judged(picture, self._place(number, index))
            for picture, number, index in zip(to_pil(images), numbers.tolist(), batch.indices.tolist(), strict=True)
        ]
        answers = torch.full((len(judgements), self._most), ABSENT, dtype=torch.int8)
        for row, one in enumerate(judgements):
            answers[row, : len(one.raw)] = torch.tensor(list(one.raw.values()))
        score = torch.tensor([one.score for one in judgements], dtype=torch.float64)
        self.keep(batch.indices, numbers, answers=answers, score=score)

    def scores(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"dpgbench": float(rows["score"].mean()), **self._by_category(rows["answers"], rows[PROMPT])}

    def _place(self, number: int, index: int) -> Place:
        return Place(self._ids[number], index % self._config.images_per_prompt)

    def _judged(self, picture: Image.Image, place: Place) -> Judged:
        questions = self._asked[place.item]
        answers = self._vqa.answer(picture, [question.text for question in questions.values()], place)
        raw = {number: float(answer == YES) for number, answer in zip(questions, answers, strict=True)}
        return judged(raw, {number: question.parents for number, question in questions.items()})

    def _by_category(self, answers: Tensor, numbers: Tensor) -> dict[str, float]:
        """The mean raw answer by the score's name."""
        right, means = answers.double(), {}
        for name, of in self._categories.items():
            chosen = of[numbers]  # [N, Q] bool
            if chosen.any():
                means[name] = float(right[chosen].mean())
        return means

    @cached_property
    def _categories(self) -> dict[str, Tensor]:
        """For each score of a category, which questions of each prompt belong to it: [P, Q] bool."""
        found: dict[str, Tensor] = {}
        for number, item in enumerate(self._ids):
            for place, question in enumerate(self._asked[item].values()):
                for name in {_score_name(broad(question.about)), _score_name(detailed(question.about))}:
                    empty = torch.zeros(len(self._ids), self._most, dtype=torch.bool)
                    found.setdefault(name, empty)[number, place] = True
        return dict(sorted(found.items()))

    @cached_property
    def _most(self) -> int:
        """Questions of the prompt that has the most."""
        return max(len(questions) for questions in self._asked.values())

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
    def _asked(self) -> Items:
        skip, source = self._config.first_row == SKIPPED, str(self._questions_file)
        items = read_questions(text_files.read(self._questions_file), skip_first_row=skip, source=source)
        unasked = [item for item in self._texts if item not in items]
        if unasked:
            raise DataError(
                f"{source} has no questions for the prompt {unasked[0]!r} of {self._prompts_path}: fetch both."
            )
        return items

    @cached_property
    def _prompts_path(self) -> Path:
        return benchmark_file(self._config.prompts, "prompts", "dpgbench/prompts")

    @cached_property
    def _questions_file(self) -> Path:
        return benchmark_file(self._config.questions, "questions", "dpgbench/dpg_bench.csv")


def _score_name(category: str) -> str:
    """`"dpgbench_relation_non_spatial"` of `"relation - non-spatial"`."""
    return "_".join(["dpgbench", *re.findall(r"\w+", category)])
