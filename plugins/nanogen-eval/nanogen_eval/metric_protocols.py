"""Optional protocols of metrics: own prompts, a folder layout, reference images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from nanogen_core.tensors import Batch
from nanogen_eval.protocols import Metric
from nanogen_eval.sources import Source


@runtime_checkable
class HasPrompts(Protocol):
    """Metric with its own prompts or labels, such as GenEval."""

    def eval_batch(self) -> Batch | None:
        """Return one request per image, without pixels, in the benchmark's order; None to use the task's requests."""


@runtime_checkable
class HasLayout(Protocol):
    """Metric whose official tools expect a particular folder layout."""

    def layout(self, folder: Path) -> Sequence[Path]:
        """Write metadata files into the folder. Return, for each request, the path where its image belongs."""


@runtime_checkable
class PairedMetric(Protocol):
    """Metric that compares each image with a reference: another image, or a recorded answer about the image."""

    def compare_with(self, source: Source) -> None:
        """Find the references for the images of a source. Called before the first `update`.

        Raises:
            NanoGenError: An image has no reference.
        """


def own_requests(metric: Metric) -> Batch | None:
    """Return the metric's own requests with indices from 0; None if it has none."""
    requests = metric.eval_batch() if isinstance(metric, HasPrompts) else None
    return None if requests is None else requests._replace(indices=torch.arange(len(requests.indices)), images=None)


def group_by_requests(metrics: Mapping[str, Metric]) -> list[tuple[Batch | None, dict[str, Metric]]]:
    """Group metrics with equal requests. The metrics of a group share the same images.

    Returns:
        Pairs of requests (None for the task's) and metrics by name.
    """
    groups: list[tuple[Batch | None, dict[str, Metric]]] = []
    for name, metric in metrics.items():
        requests = own_requests(metric)
        for other, members in groups:
            if _equal(other, requests):
                members[name] = metric
                break
        else:
            groups.append((requests, {name: metric}))
    return groups


def _equal(one: Batch | None, other: Batch | None) -> bool:
    if one is None or other is None:
        return one is other
    return _content(one) == _content(other)


def _content(batch: Batch) -> tuple[int, object, object]:
    labels = None if batch.labels is None else batch.labels.tolist()
    return len(batch.indices), labels, None if batch.captions is None else list(batch.captions)
