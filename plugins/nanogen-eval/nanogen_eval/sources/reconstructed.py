"""Reconstructions of validation images by a tokenizer."""

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
from nanogen_eval.score import fingerprint
from nanogen_eval.sources.sampled import identity

ORIGINAL = "original"  # key in `Batch.extras` of the original images [B, 3, H, W], on the 8-bit grid in [-1, 1]
SPLIT = "val"
BATCH = 64  # images read at a time


class Reconstructed:
    """The first `count` validation images after encoding and decoding.

    A batch has the labels or captions of its images. Its `extras` hold the original images.
    """

    def __init__(self, pipeline: Pipeline, count: int, *, rounding: str = "round"):
        """Prepare to reconstruct images with the tokenizer of a pipeline.

        Args:
            pipeline: Provides the tokenizer and, with its task, the images.
            count: Number of images.
            rounding: `"round"` or `"truncate"` to the 8-bit grid.
        """
        self._pipeline, self._rounding = pipeline, rounding
        self.requests = Batch(torch.arange(count))
        tokenizer = pipeline.config.slots["tokenizer"]
        self.settings: Mapping[str, Any] = {
            "reconstruction": SPLIT,
            "image_size": pipeline.config.image_size,
            "rounding": rounding,
        }
        described = {"name": tokenizer.name, **contents.options(tokenizer.config)}
        images = fingerprint(
            pipeline.config.as_dict().get("dataset", {})
        )  # with its paths: nothing else identifies them
        self.about: Mapping[str, Any] = {"tokenizer": described, "dataset": images, **identity(pipeline)}

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        """Yield reconstructed images. Raises DataError if the split has fewer images than `count`."""
        examples, position = self._examples(), 0
        for span in spans:
            chosen = list(islice(examples, span.start - position, span.stop - position))
            position = span.stop
            if len(chosen) < len(span):
                raise DataError(
                    f"The split {SPLIT!r} has fewer than {span.stop} images: lower --count to its number of images."
                )
            images, labels, captions = zip(*chosen, strict=True)
            yield Batch(
                torch.arange(span.start, span.stop),
                labels=None if labels[0] is None else torch.stack(labels),
                captions=None if captions[0] is None else list(captions),
                **self._reconstruct(torch.stack(images), span),
            )

    def _examples(self) -> Iterator[tuple[Tensor, Tensor | None, str | None]]:
        """Yield the images [3, H, W], labels and captions. Every process reads all, and encodes only its own."""
        with unsharded():
            batches = self._pipeline.task.iter_once(SPLIT, BATCH)
        for batch in batches:
            assert batch.images is not None
            missing = [None] * len(batch.images)
            labels = missing if batch.labels is None else batch.labels
            captions = missing if batch.captions is None else batch.captions
            yield from zip(batch.images, labels, captions, strict=True)

    @torch.no_grad()
    def _reconstruct(self, images: Tensor, span: range) -> dict[str, Any]:
        """Return the fields `images` and `extras` of a batch."""
        tokenizer, device = self._pipeline.tokenizer, self._pipeline.device
        originals = on_grid(images, self._rounding).to(device)
        with eval_mode(tokenizer):
            decoded = tokenizer.decode(tokenizer.encode(originals), KeyedRNG(0, list(span))).float()
        return {"images": on_grid(decoded, self._rounding), "extras": {ORIGINAL: originals}}
