"""The metric `clipscore` (Hessel et al., arXiv 2104.08718), in two conventions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_eval.row_metric import ResampledRowMetric
from nanogen_files.images import to_pil
from nanogen_textscore.clip import Clip
from nanogen_textscore.config import CLIPScoreConfig
from nanogen_textscore.prompts import PROMPT, caption_numbers


def cosines(images: Tensor, texts: Tensor) -> Tensor:
    """Return the cosine similarities [B], float64, of image embeddings [B, D] with their text embeddings [B, D]."""
    return F.cosine_similarity(images.double(), texts.double(), dim=-1)


class CLIPScore(ResampledRowMetric):
    """`clipscore`: the mean cosine similarity of image and caption embeddings, as DiffusionBench reports it.
    `clipscore_x100`: max(100 * `clipscore`, 0), as torchmetrics reports it.

    Images are embedded one at a time. The bootstrap resamples captions.
    """

    higher_is_better = True
    score_names = ("clipscore", "clipscore_x100")
    unit_column = PROMPT

    def __init__(self, config: CLIPScoreConfig):
        super().__init__()
        self._clip = Clip(config.path, option="metric.clipscore.path")

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"clip": self._clip.settings}

    def measure(self, images: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Compute the cosine of each image with its caption. Raises NanoGenError for a batch without captions."""
        if batch.captions is None:
            raise NanoGenError(
                "The metric clipscore needs captions, but the images have none. Set `task: t2i`. For a folder of "
                "images, add prompts.csv with the columns file,prompt."
            )
        self._clip.to(images.device)
        image_embeddings = torch.cat([self._clip.images([image]) for image in to_pil(images)])  # [B, D]
        text_embeddings = torch.cat([self._clip.texts([caption]) for caption in batch.captions])
        return {PROMPT: caption_numbers(batch.captions), "score": cosines(image_embeddings, text_embeddings)}

    def score(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        mean = float(rows["score"].mean())
        return {"clipscore": mean, "clipscore_x100": max(100 * mean, 0.0)}
