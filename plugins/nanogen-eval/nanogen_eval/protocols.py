"""Protocols of metrics and feature networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from nanogen_core.pipeline import Pipeline
    from nanogen_core.tensors import Batch
    from nanogen_eval.score import Score


class NotedWarning(UserWarning):
    """A warning that a metric also lists in its `notes`. `nanogen evaluate` prints only the note."""


class Features(Protocol):
    """Frozen network that maps images to feature vectors, as Fréchet and kernel distances need them.

    Weights load on the first call. A missing weights file raises a DataError that names it.
    """

    width: int  # number of features D
    settings: Mapping[str, Any]  # settings that affect scores: hash of the weights, input size, resize kernel

    def __call__(self, images: Tensor) -> Tensor:
        """Map images [B, 3, H, W] in [-1, 1] to float32 features [B, D] on the CPU, without gradient."""


class Metric(Protocol):
    """Accumulates images and computes scores.

    Scores must not depend on batch size, batch order or number of processes. Keep values per example by index
    (`nanogen_eval.Rows`), or sums in float64.

    Optional attributes:
        notes: Sentences to print with the last score, such as a warning about few images.
        classes: Number of classes, for a metric that reads labels.
        score_names: All names that `compute` may return. Duplicate names are then detected before sampling starts.
        interval_draws: Default number of bootstrap draws, for a metric whose resampling is expensive.
    """

    higher_is_better: bool
    settings: Mapping[str, Any]  # everything besides the images that affects the scores; part of the fingerprint

    def reset(self) -> None:
        """Discard all accumulated images."""

    def update(self, images: Tensor, batch: Batch) -> None:
        """Add images [B, 3, H, W] in [-1, 1]. `batch` holds their indices, labels and captions."""

    def compute(self) -> Mapping[str, float]:
        """Return the scores by name, over all images added since `reset`."""

    def state(self) -> Mapping[str, Tensor]:
        """Return the accumulated values as CPU tensors. `merge` reads them."""

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Add the `state` of another process, or of an earlier part of the same evaluation."""


@runtime_checkable
class Resampled(Protocol):
    """Additional methods of a metric whose scores can have a bootstrap interval."""

    @property
    def units(self) -> int:
        """Number of units to resample: images, or prompts if several images belong to one prompt."""

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        """Return the scores over a bootstrap sample of units.

        Args:
            units: Indices [n] int64 of the units, below the property `units`. They may repeat.
        """


class Evaluator(Protocol):
    """Scores pipelines during training (`train.evaluate`). It is built with the keyword argument `pipeline`."""

    def scores(self, pipeline: Pipeline, folder: Path, step: int) -> Sequence[Score]:
        """Score a pipeline after `step` steps, and add the scores to the files of the run's folder.

        Called on all processes, which divide the samples. Returns the scores on the first process.
        """
