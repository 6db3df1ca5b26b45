"""What is judged: a model, which draws what its judges ask for, or images that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from attrs import evolve, field, frozen

from nanogen_core.errors import DataError
from nanogen_core.pipeline import Pipeline
from nanogen_core.tensors import Batch
from nanogen_eval.metric_protocols import LaidOut, by_questions
from nanogen_eval.options import Sampling
from nanogen_eval.protocols import Metric
from nanogen_eval.sources import Source
from nanogen_eval.sources.reconstructed import Reconstructed
from nanogen_eval.sources.sampled import Sampled

COUNT = 50_000  # images, as published
MOST = 10_000_000  # images: what is asked for stands in memory


class EvalTarget(Protocol):
    """Something to judge."""

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        """The images that the metrics are to be shown, and which of them are to see these."""


@frozen
class Model:
    """A pipeline's samples: `count` of them for its task's questions (balanced over classes, or held-out captions),
    and for a metric with questions of its own one for each of them, `count` being the most."""

    pipeline: Pipeline
    count: int | None = None
    sampling: Sampling = field(factory=Sampling)

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        for questions, members in by_questions(metrics):
            asked = self._asked(questions)
            yield Sampled(self.pipeline, asked, self.sampling, seed=seed or 0), members

    def sampled(self, **changes: Any) -> Model:
        """The same model, sampled otherwise."""
        return evolve(self, sampling=evolve(self.sampling, **changes))

    def _asked(self, questions: Batch | None) -> Batch:
        """The questions do not depend on the seed: only the noise of their answers does."""
        count = _count(self.count)
        if questions is None:
            asked: Batch = self.pipeline.task.eval_batch(count, seed=0)
            return asked
        return questions if self.count is None else questions.part(0, self.count)


@frozen
class Reconstructions:
    """What a pipeline's tokenizer leaves of the first `count` images of the validation split."""

    pipeline: Pipeline
    count: int | None = None
    rounding: str = "round"

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        yield Reconstructed(self.pipeline, _count(self.count), rounding=self.rounding), dict(metrics)


@frozen
class Images:
    """Images that are there. A metric with questions of its own takes them for the answers, in order, where nothing
    beside the images says what they show."""

    source: Source

    def parts(self, metrics: Mapping[str, Metric], seed: int | None) -> Iterator[tuple[Source, dict[str, Metric]]]:
        told = self.source.questions.labels is not None or self.source.questions.captions is not None
        for questions, members in by_questions(metrics):
            yield (self.source if told or questions is None else Answers(self.source, questions, members)), members


class Answers:
    """The images of a source as the answers to these questions: by their names, where they are those of a metric's
    official layout, else in order. Raises DataError where their numbers differ."""

    def __init__(self, source: Source, questions: Batch, metrics: Mapping[str, Metric]):
        images, asked = len(source.questions.indices), len(questions.indices)
        if images != asked:
            raise DataError(
                f"There are {images} images without prompts, and {', '.join(metrics)} asks {asked} questions: give one "
                "image for each, in their order, or a prompts.csv that says what each shows."
            )
        self._source = source
        self.questions = _ordered(questions, _by_layout(source, metrics))
        self.settings, self.about = source.settings, source.about

    def read(self, spans: Iterable[range]) -> Iterator[Batch]:
        for batch in self._source.read(spans):
            first = int(batch.indices[0])
            yield self.questions.part(first, first + len(batch.indices))._replace(images=batch.images)


def _count(asked: int | None) -> int:
    """Raises DataError for a number of images whose questions alone would fill the memory."""
    if asked is not None and not 1 <= asked <= MOST:
        raise DataError(f"{asked} images cannot be judged at once: ask for 1 to {MOST:,}.")
    return COUNT if asked is None else asked


def _by_layout(source: Source, metrics: Mapping[str, Metric]) -> Sequence[int] | None:
    """The number of the question that each image answers by its place in a metric's official layout; None where the
    images have other names."""
    names = getattr(source, "names", None)
    laid_out = next((metric for metric in metrics.values() if isinstance(metric, LaidOut)), None)
    if names is None or laid_out is None:
        return None
    with TemporaryDirectory() as folder:  # a layout makes the frame of its folder
        places = [file.relative_to(folder).as_posix() for file in laid_out.layout(Path(folder))]
    numbers = {place: number for number, place in enumerate(places)}
    return [numbers[name] for name in names] if all(name in numbers for name in names) else None


def _ordered(questions: Batch, order: Sequence[int] | None) -> Batch:
    if order is None:
        return questions
    rows = torch.tensor(order)
    return Batch(
        torch.arange(len(order)),
        labels=None if questions.labels is None else questions.labels[rows],
        captions=None if questions.captions is None else [questions.captions[number] for number in order],
    )
