"""The metric `clipscore` (Hessel et al., arXiv 2104.08718), in its two conventions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch
from nanogen_files.images import to_pil
from nanogen_textscore.clip import Clip
from nanogen_textscore.config import CLIPScoreConfig
from nanogen_textscore.kept import Kept, caption_numbers


def cosines(images: Tensor, texts: Tensor) -> Tensor:
    """The cosine of each image [B, D] with its text [B, D]: float64 [B], negative ones kept."""
    return F.cosine_similarity(images.double(), texts.double(), dim=-1)


class CLIPScore(Kept):
    """`clipscore`: the mean cosine of picture and caption, as DiffusionBench reports it, neither times 100 nor 2.5;
    `clipscore_x100`: 100 times it, at least 0, as torchmetrics reports it.

    Images of equal captions make up one unit.
    """

    score_names = ("clipscore", "clipscore_x100")

    def __init__(self, config: CLIPScoreConfig):
        super().__init__()
        self._clip = Clip(config.path, option="clipscore.path")

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"clip": self._clip.settings}

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1] with captions. They are judged one by one."""
        if batch.captions is None:
            raise NanoGenError(
                "The metric clipscore judges captions, and these questions have none: use a task with them."
            )
        self._clip.to(images.device)
        seen = torch.cat([self._clip.images([picture]) for picture in to_pil(images)])  # [B, D]
        read = torch.cat([self._clip.texts([caption]) for caption in batch.captions])
        self.keep(batch.indices, caption_numbers(batch.captions), score=cosines(seen, read))

    def scores(self, rows: Mapping[str, Tensor]) -> Mapping[str, float]:
        mean = float(rows["score"].mean())
        return {"clipscore": mean, "clipscore_x100": max(100 * mean, 0.0)}
