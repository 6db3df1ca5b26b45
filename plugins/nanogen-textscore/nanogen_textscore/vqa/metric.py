"""The metrics `vqascore` and `genaibench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.errors import NanoGenError
from nanogen_core.named_components import build_named
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_files.hashing import content_hash
from nanogen_files.images import to_pil
from nanogen_textscore.config import GenAIBenchConfig, VQAScoreConfig
from nanogen_textscore.files import benchmark_file
from nanogen_textscore.prompts import PROMPT, Prompts, caption_numbers
from nanogen_textscore.protocols import VQAScoreModel
from nanogen_textscore.vqa.genai import image_name, read_prompts, read_skills, score_name


class VQAScore(ResampledRowMetric):
    """`vqascore` (Lin et al., arXiv 2404.01291): the mean over images of a model's probability that the image
    shows its caption. The bootstrap resamples captions."""

    metric = "vqascore"  # its name in a configuration, for error messages
    higher_is_better = True
    unit_column = PROMPT

    def __init__(self, config: VQAScoreConfig):
        super().__init__()
        self._model: VQAScoreModel = build_named("vqascore_model", config.model, path=f"metric.{self.metric}.model")

    @cached_property
    def score_names(self) -> list[str]:
        return ["vqascore"]

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"model": self._model.settings}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Score each image with its caption. Raises NanoGenError for a batch without captions."""
        if batch.captions is None:
            raise NanoGenError(
                "The metric vqascore needs captions, but the images have none. Set `task: t2i`. For a folder of "
                "images, add prompts.csv with the columns file,prompt."
            )
        return {PROMPT: caption_numbers(batch.captions), "score": self._vqascores(images, batch.captions)}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"vqascore": float(rows["score"].mean())}

    def _vqascores(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the VQAScore of each image and text [B] float64, computed one at a time."""
        self._model.to(images.device)
        found = [self._model.score(image, text) for image, text in zip(to_pil(images), texts, strict=True)]
        return torch.tensor(found, dtype=torch.float64)


class GenAIBench(VQAScore):
    """`genaibench`: the mean VQAScore over images, as in the published DiffusionBench table. `genaibench_<skill>`: the
    mean over the images of prompts with that skill. `genaibench_all`: the mean over the images of prompts with at least
    one skill."""

    metric = "genaibench"

    def __init__(self, config: GenAIBenchConfig):
        super().__init__(config)
        self._config = config

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {
            "model": self._model.settings,
            "prompts": self._prompts.digest,
            "skills": content_hash(self._skills_file),
            "images_per_prompt": self._config.images_per_prompt,
        }

    @cached_property
    def score_names(self) -> list[str]:
        return ["genaibench", *self._skills]

    def eval_batch(self) -> Batch:
        """Return the prompts in file order, `images_per_prompt` rows each. Raises DataError for an unreadable file."""
        return self._prompts.eval_batch()

    def layout(self, folder: Path) -> list[Path]:
        """Return the file of each image: `00012.jpeg`, as the original tool expects it.

        For several images per prompt it is `00012-1.jpeg`, which the original tool does not read.
        """
        each = self._config.images_per_prompt
        return [folder / image_name(key, number, each) for key in self._texts for number in range(each)]

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Score each image with its prompt."""
        numbers = self._prompts.numbers(batch)
        texts = [self._prompts.texts[number] for number in numbers.tolist()]
        return {PROMPT: numbers, "score": self._vqascores(images, texts)}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        numbers, score = rows[PROMPT], rows["score"]
        means = {"genaibench": float(score.mean())}
        for name, members in self._skills.items():
            chosen = members[numbers]
            if chosen.any():
                means[name] = float(score[chosen].mean())
        return means

    @cached_property
    def _skills(self) -> Mapping[str, Tensor]:
        """Score name of each skill -> the prompts with the skill, [P] bool."""
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
