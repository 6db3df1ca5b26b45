"""The metrics `vqascore` and `genaibench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_files.hashing import content_hash
from nanogen_files.images import to_pil
from nanogen_textscore.config import GenAIBenchConfig, VQAScoreConfig
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.frozen import frozen_judge
from nanogen_textscore.kept import PROMPT, Kept, caption_numbers
from nanogen_textscore.prompts import Prompts
from nanogen_textscore.vqa.genai import picture_name, read_prompts, read_skills, score_name
from nanogen_textscore.vqa.protocol import VQAJudge


class VQAScore(Kept):
    """`vqascore`: the mean over images of the probability of "Yes", for any captions. Images of equal captions make up
    one unit."""

    def __init__(self, config: VQAScoreConfig):
        super().__init__()
        self._judge: VQAJudge = frozen_judge("vqascore", config.judge, path="judge")

    @cached_property
    def score_names(self) -> list[str]:
        return ["vqascore"]

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"judge": self._judge.settings}

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1] with captions. They are judged one by one."""
        if batch.captions is None:
            raise NanoGenError(
                "The metric vqascore judges captions, and these questions have none: use a task with them."
            )
        self._keep(images, batch, batch.captions, caption_numbers(batch.captions))

    def scores(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"vqascore": float(rows["score"].mean())}

    def _keep(self, images: Tensor, batch: Batch, texts: Sequence[str], numbers: Tensor) -> None:
        self._judge.to(images.device)
        found = [self._judge.score(picture, text) for picture, text in zip(to_pil(images), texts, strict=True)]
        self.keep(batch.indices, numbers, score=torch.tensor(found, dtype=torch.float64))


class GenAIBench(VQAScore):
    """`genaibench`: the mean VQAScore over images, as the published DiffusionBench table has it;
    `genaibench_<skill>`: that of the prompts with this skill; `genaibench_all`: of the prompts with any."""

    def __init__(self, config: GenAIBenchConfig):
        super().__init__(config)
        self._config = config

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "judge": self._judge.settings,
            "prompts": self._prompts.digest,
            "skills": content_hash(self._skills_file),
            "images_per_prompt": self._config.images_per_prompt,
        }

    @cached_property
    def score_names(self) -> list[str]:
        return ["genaibench", *self._skills]

    def eval_batch(self) -> Batch:
        """The official prompts in the order of their file. Raises DataError where it is missing."""
        return self._prompts.eval_batch()

    def layout(self, folder: Path) -> list[Path]:
        """Where the original tool looks for the image of each question: `00012.jpeg`."""
        each = self._config.images_per_prompt
        return [folder / picture_name(key, number, each) for key in self._texts for number in range(each)]

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1] and the questions that they answer. They are judged one by one."""
        numbers = self._prompts.numbers(batch)
        self._keep(images, batch, [self._prompts.texts[number] for number in numbers.tolist()], numbers)

    def scores(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        numbers, score = rows[PROMPT], rows["score"]
        means = {"genaibench": float(score.mean())}
        for name, belongs in self._skills.items():
            chosen = belongs[numbers]
            if chosen.any():
                means[name] = float(score[chosen].mean())
        return means

    @cached_property
    def _skills(self) -> Mapping[str, Tensor]:
        """For each score of a skill, which prompts have it: [P] bool."""
        skills = read_skills(self._skills_file, self._texts)
        groups = {**skills, "all": [one for ids in skills.values() for one in ids]}
        return {
            score_name(name): torch.tensor([key in set(ids) for key in self._texts]) for name, ids in groups.items()
        }

    @cached_property
    def _skills_file(self) -> Path:
        return benchmark_file(self._config.skills, "skills", "genaibench/genai_skills.json")

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts("GenAI-Bench", list(self._texts.values()), self._config.images_per_prompt)

    @cached_property
    def _texts(self) -> Mapping[int, str]:
        return read_prompts(benchmark_file(self._config.prompts, "prompts", "genaibench/genai_image.json"))
