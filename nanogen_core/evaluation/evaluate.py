"""From something to judge to scores: one pass a seed and set of questions, then their mean, intervals and record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from filelock import FileLock, Timeout

from nanogen_core import storage
from nanogen_core.data import Share
from nanogen_core.errors import ConfigError, NanoGenError, listing
from nanogen_core.evaluation import gather, intervals, progress
from nanogen_core.evaluation.aside import aside
from nanogen_core.evaluation.entry import Entry, combined, entries, settings
from nanogen_core.evaluation.keep import FOLDER as IMAGES
from nanogen_core.evaluation.keep import Keep, keeper
from nanogen_core.evaluation.measure import measure, quiet
from nanogen_core.evaluation.options import Certainty, Effort, Search
from nanogen_core.evaluation.record import write_scores
from nanogen_core.evaluation.score import Score, fingerprint
from nanogen_core.evaluation.sources import Source
from nanogen_core.evaluation.subjects import COUNT, Model, Subject
from nanogen_core.protocols import Metric

Report = Callable[[str, int, int], None]  # what is done, how many of it, of how many: for a progress bar


@frozen(kw_only=True)
class Evaluation:
    """Judges subjects by `metrics`. With a `folder`, the scores are written there, and what was stopped goes on.

    `about` stands at every score beside what the source says of itself; `keep` writes the samples as PNG files.
    """

    metrics: Mapping[str, Metric]
    folder: Path | None = None
    effort: Effort = field(factory=Effort)
    certainty: Certainty = field(factory=Certainty)
    about: Mapping[str, Any] = field(factory=dict)
    keep: bool = False
    report: Report = quiet
    share: Share = field(factory=Share.here)
    _states: list[Path] = field(factory=list)  # folders of passes, to be taken away when all are done

    def scores(self, subject: Subject, seeds: Sequence[int] = ()) -> list[Score]:
        """Every score of every metric: over several seeds the mean, with the numbers that it is the mean of.

        Of several processes the first one alone gets them. Raises NanoGenError for a score that is no number, for two
        of one name, and where another evaluation is at work in the folder.
        """
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"The seeds {', '.join(map(str, seeds))} name one twice, which would count it twice.")
        with aside(), self._alone():
            scores = self._scores(subject, seeds)
            if self.folder is not None and scores:
                with progress.writing(self.folder):
                    write_scores(self.folder, scores)
            gather.wait(self.share)
            while self._states:
                progress.clear(self._states.pop())
        return scores

    def searched(self, model: Model, scales: Sequence[float], *, seeds: Sequence[int], by: str | None = None) -> Model:
        """The model with the guidance scale of `scales` that is best by the score `by` (by default the first metric's
        first) over samples of a seed that is none of `seeds`. Of equally good scales the first one is taken."""
        seed = max(seeds, default=-1) + 1
        quick = evolve(self, certainty=Certainty(draws=0), keep=False)
        with aside(), quick._alone():
            rows = [quick._scores(model.sampled(guidance=scale), [seed]) for scale in scales]
        best = _best(scales, [_deciding(row, by) for row in rows]) if rows[0] else None
        scale, criterion, values = gather.told(best, self.share)
        search = Search(grid=tuple(scales), criterion=criterion, seed=seed, count=model.count or COUNT, scores=values)
        return model.sampled(guidance=scale, search=search)

    def _scores(self, subject: Subject, seeds: Sequence[int]) -> list[Score]:
        passes = [self._pass(subject, seed) for seed in seeds or (None,)]
        return [] if self.share.rank else combined(passes, tuple(seeds), self.certainty, self.about)

    # -- one pass ----------------------------------------------------------------------------------------------------

    def _pass(self, subject: Subject, seed: int | None) -> list[Entry]:
        """What one seed gave: an entry for each score."""
        found: list[Entry] = []
        for source, metrics in subject.parts(self.metrics, seed):
            state = self._state(source, metrics, seed)
            found += self._finished(state) or self._measured(source, metrics, seed, state)
        return found

    def _measured(
        self, source: Source, metrics: dict[str, Metric], seed: int | None, state: Path | None
    ) -> list[Entry]:
        report = partial(self.report, "images" if seed is None else f"samples of seed {seed}")
        keep = self._keeper(source, metrics, seed)
        measure(source, metrics, effort=self.effort, report=report, folder=state, keep=keep, share=self.share)
        if self.share.rank:
            return []
        found = [
            entry
            for name, metric in metrics.items()
            for entry in entries(name, metric, source, self.certainty, self._ticks(name, metric))
        ]
        if state is not None:
            with progress.writing(state):
                storage.write_json(state / progress.RESULT, {"draws": self.certainty.draws, "entries": found})
        return found

    def _ticks(self, name: str, metric: Metric) -> Callable[[], None]:
        """A function that counts the resamplings of a metric."""
        steps = iter(range(1, (total := intervals.expected(metric, self.certainty.draws)) + 1))
        return lambda: self.report(f"interval of {name}", next(steps), total)

    def _finished(self, state: Path | None) -> list[Entry]:
        """The entries of a pass that was finished before the evaluation was stopped; empty where it was not."""
        path = None if state is None else state / progress.RESULT
        stored = storage.read_json(path) if path and not self.share.rank and path.exists() else {}
        found: list[Entry] = stored.get("entries", []) if stored.get("draws") == self.certainty.draws else []
        known: list[Entry] = gather.told(found, self.share)
        return known

    def _state(self, source: Source, metrics: Mapping[str, Metric], seed: int | None) -> Path | None:
        """Where this very pass keeps its state: one of other images or settings has another folder."""
        if self.folder is None:
            return None
        known = {name: settings(metric, source) for name, metric in metrics.items()}
        facts = {"metrics": known, "about": source.about, "seed": seed, "keep": self.keep}
        state = self.folder / progress.FOLDER / fingerprint({**facts, "n": len(source.questions.indices)})
        self._states.append(state)
        return state

    def _keeper(self, source: Source, metrics: Mapping[str, Metric], seed: int | None) -> Keep | None:
        if not self.keep or self.folder is None or seed is None:
            return None
        place = self.folder / IMAGES / f"seed-{seed}"
        alone = len(metrics) == len(self.metrics)
        return keeper(place if alone else place / next(iter(metrics)), source.questions, metrics)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder, for this evaluation alone."""
        if self.folder is None or self.share.rank:
            yield
            return
        with progress.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".evaluating.lock", timeout=0):
                yield
        except Timeout as error:
            raise NanoGenError(
                f"Another evaluation is at work in {self.folder}: wait for it, or name another folder with --output."
            ) from error


def _deciding(scores: Sequence[Score], by: str | None) -> Score:
    """The score by which a search decides."""
    found = [score for score in scores if by in (None, score.metric)]
    if not found:
        names = listing(score.metric for score in scores)
        raise ConfigError(f"There is no score {by!r} to choose the guidance by; the metrics give: {names}.")
    return found[0]


def _best(scales: Sequence[float], found: Sequence[Score]) -> tuple[float, str, tuple[float, ...]]:
    values = tuple(score.value for score in found)
    best = max(values) if found[0].higher_is_better else min(values)
    return scales[values.index(best)], found[0].metric, values
