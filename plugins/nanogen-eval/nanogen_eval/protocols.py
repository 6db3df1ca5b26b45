"""What a metric and a feature network must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from nanogen_core.tensors import Batch


class Features(Protocol):
    """A frozen network that sees images as points of a space in which distributions are compared."""

    width: int  # D
    settings: Mapping[str, Any]  # what a score in this space depends on: weights' hash, input size, resize kernel

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] in [-1, 1] -> float32 [B, D], on the CPU, without gradient. Weights are read at the first
        call; a missing file is a DataError that names it."""


class Metric(Protocol):
    """A judge of pictures. `higher_is_better` says which way it points; `update` may be called any number of times.

    No score depends on the size of batches, their order or the number of processes: what is kept of an example is kept
    by its index (`nanogen_eval.rows`), or as float64 sums. It may have `notes`, sentences that must stand beside its
    last score, `classes`, the number of classes of a judge of labels, and `score_names`, all names that `compute` may
    give: two metrics that give one name are then found before the work.
    """

    higher_is_better: bool
    settings: Mapping[str, Any]  # all that its scores depend on beside the images: part of their fingerprint

    def reset(self) -> None:
        """Forgets the images so far."""

    def update(self, images: Tensor, batch: Batch) -> None:
        """Images [B, 3, H, W] in [-1, 1], and the questions that they answer."""

    def compute(self) -> Mapping[str, float]:
        """The score, or the scores, by name, over all images so far."""

    def state(self) -> Mapping[str, Tensor]:
        """All that it has seen, on the CPU: to go on later, and for `merge`."""

    def merge(self, state: Mapping[str, Tensor]) -> None:
        """Adds what another process, or an earlier part of the evaluation, saw."""


@runtime_checkable
class Resampled(Protocol):
    """What a metric also has where its score can have a bootstrap interval."""

    @property
    def units(self) -> int:
        """What is drawn from: the number of images, or of prompts where several images answer one."""

    def resampled(self, units: Tensor) -> Mapping[str, float]:
        """The scores over these units [n] int64 in [0, units), some of them several times."""
