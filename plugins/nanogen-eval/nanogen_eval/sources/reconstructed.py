"""Real images through a tokenizer and back: how much of them a latent keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.eval_mode import eval_mode
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_data import contents
from nanogen_data.loader import unsharded
from nanogen_eval.pixels import on_grid
from nanogen_eval.sources.sampled import identity

ORIGINAL = "original"  # in `batch.extras`: [B, 3, H, W], on the 8-bit grid in [-1, 1]
SPLIT = "val"
READ = 64  # images at a time


class Reconstructed:
    """The first `count` images of the validation split, encoded and decoded, each with its original beside it."""

    def __init__(self, pipeline: Pipeline, count: int, *, rounding: str = "round"):
        self._pipeline, self._rounding = pipeline, rounding
        self.questions = Batch(torch.arange(count))
        tokenizer = pipeline.config.slots["tokenizer"]
        self.settings: Mapping[str, Any] = {
            "reconstruction": SPLIT,
            "image_size": pipeline.config.image_size,
            "rounding": rounding,
        }
        described = {"name": tokenizer.name, **contents.options(tokenizer.config)}
        self.about: Mapping[str, Any] = {"tokenizer": described, **identity(pipeline)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        """Raises DataError where the split has fewer images."""
        images, position = self._images(), 0
        for span in spans:
            originals = list(islice(images, span.start - position, span.stop - position))
            position = span.stop
            if len(originals) < len(span):
                raise DataError(
                    f"The split {SPLIT!r} ends before image {span.stop}: say with --count how many it has, or fewer."
                )
            yield self._there_and_back(torch.stack(originals), torch.arange(span.start, span.stop))

    def _images(self) -> Iterator[Tensor]:
        """Those of the split, in order: [3, H, W] each. Every process reads all of them and decodes its own."""
        with unsharded():
            batches = self._pipeline.task.iter_once(SPLIT, READ)
        for batch in batches:
            assert batch.images is not None
            yield from batch.images

    @torch.no_grad()
    def _there_and_back(self, images: Tensor, indices: Tensor) -> Batch:
        tokenizer, device = self._pipeline.tokenizer, self._pipeline.device
        originals = on_grid(images, self._rounding).to(device)
        with eval_mode(tokenizer):
            decoded = tokenizer.decode(tokenizer.encode(originals), KeyedRNG(0, indices.tolist())).float()
        return Batch(indices, images=on_grid(decoded, self._rounding), extras={ORIGINAL: originals})
