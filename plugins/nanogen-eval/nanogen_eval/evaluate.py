"""From something to judge to scores: one pass a seed and set of questions, then their mean, intervals and record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, field, frozen

from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_data.loader import DataShard
from nanogen_eval import gather, intervals, progress, seal
from nanogen_eval.entry import Entry, combined, entries, settings
from nanogen_eval.image_writer import FOLDER as IMAGES
from nanogen_eval.image_writer import MARKER, Keeper
from nanogen_eval.isolated_rng import aside
from nanogen_eval.measure import measure, quiet, restore
from nanogen_eval.options import BootstrapConfig, EvalOptions, Search
from nanogen_eval.protocols import Metric
from nanogen_eval.record import FILE, read_scores, write_scores
from nanogen_eval.score import Score, fingerprint
from nanogen_eval.score_names import ScoreNames, refuse_unknown
from nanogen_eval.sources import Source
from nanogen_eval.targets import COUNT, EvalTarget, Model
from nanogen_files.folder_lock import folder_lock

Report = Callable[[str, int, int], None]  # what is done, how many of it, of how many: for a progress bar

SEARCHED = ("sampling", "guidance", "searched")  # what a search for the guidance changes of a source


@frozen
class Pass:
    """One seed's images of one source, the metrics that are shown them, where the state of this pass is saved, and
    where the images are kept."""

    source: Source
    metrics: dict[str, Metric]
    seed: int | None
    state: Path | None
    keep: Keeper | None


@frozen(kw_only=True)
class Evaluation:
    """Judges subjects by `metrics`. With a `folder`, the scores are written there, and what was stopped goes on.

    `about` stands at every score beside what the source says of itself; `keep` writes the samples as PNG files.
    """

    metrics: Mapping[str, Metric]
    folder: Path | None = None
    effort: EvalOptions = field(factory=EvalOptions)
    certainty: BootstrapConfig = field(factory=BootstrapConfig)
    about: Mapping[str, Any] = field(factory=dict)
    keep: bool = False
    report: Report = quiet
    share: DataShard = field(factory=DataShard.here)
    _states: list[Path] = field(factory=list)  # folders of passes, to be taken away when all are done

    def scores(self, subject: EvalTarget, seeds: Sequence[int] = ()) -> list[Score]:
        """Every score of every metric: over several seeds the mean, with the numbers that it is the mean of.

        Of several processes the first one alone gets them. Raises NanoGenError for a score that is no number, for two
        of one name, where another evaluation is at work in the folder, and where images of another one are kept there.
        """
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"The seeds {', '.join(map(str, seeds))} name one twice, which would count it twice.")
        with aside(), self._alone():
            scores = self._scores(subject, seeds)
            if self.folder is not None and scores:
                with progress.writing(self.folder):
                    write_scores(self.folder, scores, note=self._states[-1] / progress.WRITTEN)
            gather.wait(self.share)
            while self._states:
                progress.clear(self._states.pop())
        return scores

    def searched(self, model: Model, scales: Sequence[float], *, seeds: Sequence[int], by: str | None = None) -> Model:
        """The model with the guidance scale of `scales` that is best by the score `by` (by default the first metric's
        first) over samples of a seed that is none of `seeds`. Of equally good scales the first one is taken."""
        seed = max(seeds, default=-1) + 1
        quick = evolve(self, certainty=BootstrapConfig(draws=0), keep=False)
        with aside(), quick._alone():
            for each in self._passes(model, seeds) if self.keep else ():
                if each.keep is not None:
                    each.keep.refuse_others(ignoring=SEARCHED)
            rows = [quick._scores(model.sampled(guidance=scale), [seed], by) for scale in scales]
        best = _best(scales, [_deciding(row, by) for row in rows]) if rows[0] else None
        scale, criterion, values = gather.broadcast(best, self.share)
        search = Search(grid=tuple(scales), criterion=criterion, seed=seed, count=model.count or COUNT, scores=values)
        return model.sampled(guidance=scale, search=search)

    def _scores(self, subject: EvalTarget, seeds: Sequence[int], by: str | None = None) -> list[Score]:
        """Whatever can be wrong is looked for before the first image is made."""
        names = ScoreNames(self.metrics, by)
        if self.folder is not None and (self.folder / FILE).exists():
            read_scores(self.folder)
        planned = self._passes(subject, seeds)
        self._claim(planned)
        rows: dict[int | None, list[Entry]] = {each.seed: [] for each in planned}
        for each in planned:
            rows[each.seed] += self._finished(each) or self._measured(each, names)
        return [] if self.share.rank else combined(list(rows.values()), tuple(seeds), self.certainty, self.about)

    def _claim(self, planned: Sequence[Pass]) -> None:
        """Marks the folders of images for this evaluation. What was seen of images that are no longer there is made
        again."""
        keepers = [(each, each.keep) for each in planned if each.keep is not None and not self.share.rank]
        for _, keep in keepers:
            keep.refuse_others()
        for each, keep in keepers:
            if keep.claim() and each.state is not None:
                progress.clear(each.state)
        gather.wait(self.share)

    # -- one pass ----------------------------------------------------------------------------------------------------

    def _passes(self, subject: EvalTarget, seeds: Sequence[int]) -> list[Pass]:
        return [
            Pass(source, metrics, seed, self._state(source, metrics, seed), self._keeper(source, metrics, seed))
            for seed in seeds or (None,)
            for source, metrics in subject.parts(self.metrics, seed)
        ]

    def _measured(self, each: Pass, names: ScoreNames) -> list[Entry]:
        """What the images gave: an entry for each score."""
        source, metrics, seed, state = each.source, each.metrics, each.seed, each.state
        report = partial(self.report, "images" if seed is None else f"samples of seed {seed}")
        measure(
            source,
            metrics,
            effort=self.effort,
            report=report,
            folder=state,
            keep=each.keep,
            first=partial(names.ask, share=self.share),
            share=self.share,
        )
        if self.share.rank:
            return []
        found = [
            entry
            for name, metric in metrics.items()
            for entry in entries(name, metric, source, self.certainty, self._ticks(name, metric))
        ]
        if state is not None:
            with progress.writing(state):
                facts = {"draws": self.certainty.draws, "batch_size": self.effort.batch_size}
                seal.write(state / progress.RESULT, {**facts, "entries": found})
        return found

    def _ticks(self, name: str, metric: Metric) -> Callable[[], None]:
        """A function that counts the resamplings of a metric."""
        steps = iter(range(1, (total := intervals.expected(metric, self.certainty.draws)) + 1))
        return lambda: self.report(f"interval of {name}", next(steps), total)

    def _finished(self, each: Pass) -> list[Entry]:
        """The entries of a pass that was finished before the evaluation was stopped; empty where it was not."""
        if each.state is not None:
            self._states.append(each.state)
        path = None if each.state is None else each.state / progress.RESULT
        stored = seal.read(path) if path and not self.share.rank and path.exists() else {}
        found: list[Entry] = stored.get("entries", []) if stored.get("draws") == self.certainty.draws else []
        if found:
            progress.say_other_batch_size(stored.get("batch_size", self.effort.batch_size), self.effort.batch_size)
        known: list[Entry] = gather.broadcast(found, self.share)
        if known and each.keep is not None:
            everything = torch.ones(len(each.source.questions.indices), dtype=torch.bool)
            restore(each.source, each.keep, everything, self.effort.batch_size, self.share)
        return known

    def _state(self, source: Source, metrics: Mapping[str, Metric], seed: int | None) -> Path | None:
        """Where this very pass keeps its state: one of other images or settings has another folder."""
        if self.folder is None:
            return None
        known = {name: settings(metric, source) for name, metric in metrics.items()}
        facts = {"metrics": known, "about": source.about, "seed": seed, "keep": self.keep}
        return self.folder / progress.FOLDER / fingerprint({**facts, "n": len(source.questions.indices)})

    def _keeper(self, source: Source, metrics: Mapping[str, Metric], seed: int | None) -> Keeper | None:
        if not self.keep or self.folder is None or seed is None:
            return None
        place = self.folder / IMAGES / f"seed-{seed}"
        if len(metrics) < len(self.metrics):
            if (place / MARKER).exists():
                raise NanoGenError(f"{place} holds the images of another evaluation: choose another --output.")
            place /= next(iter(metrics))
        return Keeper(place, source, metrics, seed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder, for this evaluation alone."""
        if self.folder is None or self.share.rank:
            yield
            return
        with progress.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(self.folder / ".evaluating.lock", self._busy):
            yield

    def _busy(self, holder: str) -> NanoGenError:
        return NanoGenError(
            f"Another evaluation{holder} is running in {self.folder}: wait for it, or choose another folder with"
            " --output."
        )


def _deciding(scores: Sequence[Score], by: str | None) -> Score:
    """The score by which a search decides."""
    if by is not None:
        refuse_unknown(by, [score.metric for score in scores])
    return next(score for score in scores if by in (None, score.metric))


def _best(scales: Sequence[float], found: Sequence[Score]) -> tuple[float, str, tuple[float, ...]]:
    values = tuple(score.value for score in found)
    best = max(values) if found[0].higher_is_better else min(values)
    return scales[values.index(best)], found[0].metric, values
