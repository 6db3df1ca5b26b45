"""What a metric may have beside its protocol: questions of its own, and a folder layout of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from nanogen_core.tensors import Batch
from nanogen_eval.protocols import Metric
from nanogen_eval.sources import Source


@runtime_checkable
class Asking(Protocol):
    """A metric that judges by its own prompts or labels, such as GenEval."""

    def eval_batch(self) -> Batch | None:
        """One row an image, in the official order, without images; None where any question will do."""


@runtime_checkable
class LaidOut(Protocol):
    """A metric whose official tools read images in a folder layout of their own."""

    def layout(self, folder: Path) -> Sequence[Path]:
        """Makes the folder's frame (metadata files), and says where the image of each question is to lie in it."""


@runtime_checkable
class Comparing(Protocol):
    """A metric that compares each image with an original."""

    def compare_with(self, source: Source) -> None:
        """Is told which images are going to come, before the first one. Raises DataError where one has no original."""


def own_questions(metric: Metric) -> Batch | None:
    """The metric's own questions, numbered from 0; None where it has none."""
    asked = metric.eval_batch() if isinstance(metric, Asking) else None
    return None if asked is None else asked._replace(indices=torch.arange(len(asked.indices)), images=None)


def by_questions(metrics: Mapping[str, Metric]) -> list[tuple[Batch | None, dict[str, Metric]]]:
    """The metrics, those with equal questions together: they share the images that answer them."""
    groups: list[tuple[Batch | None, dict[str, Metric]]] = []
    for name, metric in metrics.items():
        questions = own_questions(metric)
        for asked, members in groups:
            if _equal(asked, questions):
                members[name] = metric
                break
        else:
            groups.append((questions, {name: metric}))
    return groups


def _equal(one: Batch | None, other: Batch | None) -> bool:
    if one is None or other is None:
        return one is other
    return _content(one) == _content(other)


def _content(batch: Batch) -> tuple[int, object, object]:
    labels = None if batch.labels is None else batch.labels.tolist()
    return len(batch.indices), labels, None if batch.captions is None else list(batch.captions)
