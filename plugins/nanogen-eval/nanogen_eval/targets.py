"""Targets of an evaluation: samples of a model, reconstructions of a tokenizer, existing images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from attrs import evolve, field, frozen

from nanogen_core.errors import DataError, NanoGenError, listing
from nanogen_core.pipeline import Pipeline
from nanogen_core.tensors import Batch
from nanogen_eval.metric_protocols import HasLayout, group_by_requests
from nanogen_eval.options import Sampling
from nanogen_eval.protocols import Metric
from nanogen_eval.sources import Source
from nanogen_eval.sources.reconstructed import Reconstructed
from nanogen_eval.sources.sampled import Sampled
from nanogen_files.errors import counted

COUNT = 50_000  # default number of images, as in published FIDs
MAX_COUNT = 10_000_000  # images: their requests are in memory


class EvalTarget(Protocol):
    """Something to evaluate."""

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        """Yield sources of images, each with the metrics that read it.

        Args:
            metrics: All metrics by name.
            seed: Sampling seed; None for existing images and reconstructions.
        """


@frozen
class Model:
    """Samples of a pipeline.

    Attributes:
        pipeline: The model.
        count: Number of samples, 50,000 by default. The task's `eval_batch` chooses their labels or captions. A metric
            with its own prompts gets one sample per prompt, at most `count`.
        sampling: Sampling options.
    """

    pipeline: Pipeline
    count: int | None = None
    sampling: Sampling = field(factory=Sampling)

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        for requests, members in group_by_requests(metrics):
            yield Sampled(self.pipeline, self._requests(requests), self.sampling, seed=seed or 0), members

    def sampled(self, **changes: Any) -> Model:
        """Return the model with changed sampling options."""
        return evolve(self, sampling=evolve(self.sampling, **changes))

    def _requests(self, own: Batch | None) -> Batch:
        """Return a metric's own requests, or the task's. They do not depend on the sampling seed."""
        count = _count(self.count)
        if own is None:
            requests: Batch = self.pipeline.task.eval_batch(count, seed=0)
            return requests
        return own if self.count is None else own.part(0, self.count)


@frozen
class Reconstructions:
    """Reconstructions of the first `count` validation images by a pipeline's tokenizer.

    Attributes:
        pipeline: Provides the tokenizer and the images.
        count: Number of images, 50,000 by default.
        rounding: "round" or "truncate", a key of `nanogen_files.images.RULES`.
    """

    pipeline: Pipeline
    count: int | None = None
    rounding: str = "round"

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        """Yield the only source. Raises NanoGenError for a metric with prompts of its own."""
        for requests, members in group_by_requests(metrics):
            if requests is not None:
                raise NanoGenError(
                    f"The images of {listing(members)} belong to its own prompts, so it cannot evaluate"
                    " reconstructions. Choose other metrics with --metrics."
                )
        yield Reconstructed(self.pipeline, _count(self.count), rounding=self.rounding), dict(metrics)


@frozen
class Images:
    """Existing images.

    If they have neither labels nor captions, a metric's own prompts are assigned to them by file name or by order.
    """

    source: Source

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        labelled = self.source.requests.labels is not None or self.source.requests.captions is not None
        for requests, members in group_by_requests(metrics):
            if labelled or requests is None:
                yield self.source, members
            else:
                yield SourceWithRequests(self.source, requests, members), members


class SourceWithRequests:
    """Images of a source with the prompts of a metric.

    Prompts are assigned by file name if the names match a metric's `layout`, else by order.
    """

    def __init__(self, source: Source, requests: Batch, metrics: Mapping[str, Metric]):
        """Raise DataError if the numbers of images and prompts differ."""
        images, prompts = len(source.requests.indices), len(requests.indices)
        if images != prompts:
            raise DataError(
                f"{listing(metrics)}: got {counted(images, 'image')} for {counted(prompts, 'prompt')}. Give one image"
                " per prompt in prompt order, or add prompts.csv with the columns file,prompt."
            )
        self._source = source
        self.requests = _ordered(requests, _by_layout(source, metrics))
        self.settings, self.about = source.settings, source.about

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        for batch in self._source.read(spans):
            first = int(batch.indices[0])
            yield self.requests.part(first, first + len(batch.indices))._replace(images=batch.images)


def _count(count: int | None) -> int:
    """Return the number of images, or the default. Raises DataError for one that does not fit into memory."""
    if count is not None and not 1 <= count <= MAX_COUNT:
        raise DataError(f"An evaluation of {count} images is not possible: use 1 to {MAX_COUNT:,} images.")
    return COUNT if count is None else count


def _by_layout(source: Source, metrics: Mapping[str, Metric]) -> Sequence[int] | None:
    """Return the index of each image's request, from its path in a metric's layout. None: images have other names."""
    names = getattr(source, "names", None)
    laid_out = next((metric for metric in metrics.values() if isinstance(metric, HasLayout)), None)
    if names is None or laid_out is None:
        return None
    with TemporaryDirectory() as folder:  # `layout` writes metadata files
        places = [file.relative_to(folder).as_posix() for file in laid_out.layout(Path(folder))]
    numbers = {place: number for number, place in enumerate(places)}
    return [numbers[name] for name in names] if all(name in numbers for name in names) else None


def _ordered(requests: Batch, order: Sequence[int] | None) -> Batch:
    if order is None:
        return requests
    rows = torch.tensor(order)
    return Batch(
        torch.arange(len(order)),
        labels=None if requests.labels is None else requests.labels[rows],
        captions=None if requests.captions is None else [requests.captions[number] for number in order],
    )
