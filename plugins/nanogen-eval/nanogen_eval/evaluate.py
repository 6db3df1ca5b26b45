"""Evaluation of models and images: passes over images, scores, intervals, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, field, frozen

from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_core.pipeline import GuidanceChoice, Pipeline
from nanogen_data.loader import DataShard
from nanogen_eval import gather, intervals, progress, seal
from nanogen_eval.entry import Entry, combined, entries, settings
from nanogen_eval.image_writer import FOLDER as IMAGES
from nanogen_eval.image_writer import MARKER, ImageWriter
from nanogen_eval.isolated_rng import isolated_rng
from nanogen_eval.measure import measure, no_report, restore
from nanogen_eval.options import BootstrapConfig, EvalOptions, ProgressCallback, Sampling, Search
from nanogen_eval.protocols import Metric
from nanogen_eval.record import FILE, read_scores, write_scores
from nanogen_eval.score import Score, fingerprint
from nanogen_eval.score_names import ScoreNames, refuse_unknown
from nanogen_eval.sources import Source
from nanogen_eval.targets import COUNT, EvalTarget, Model
from nanogen_files.folder_lock import folder_lock

SEARCH_RESULTS = ("sampling", "guidance", "searched")  # facts about a source that a guidance search changes


def evaluate_pipeline(
    pipeline: Pipeline,
    count: int,
    *,
    seed: int = 0,
    guidance: GuidanceChoice = None,
    batch_size: int = 256,
    draws: int | None = None,
) -> list[Score]:
    """Score samples of a pipeline with the metrics of its configuration. Writes no files.

    Args:
        pipeline: The model to evaluate.
        count: Number of samples.
        seed: Seed of the sampling noise.
        guidance: A scale, scales by name, a name or an object, as in `Sampling`. None: as configured.
        batch_size: Samples per batch.
        draws: Bootstrap draws per interval. 0 for no intervals; None for the default of each metric.

    Returns:
        One score for each value that the metrics compute.
    """
    evaluation = Evaluation(
        metrics=pipeline.task.metrics(),
        options=EvalOptions(batch_size=batch_size),
        bootstrap=BootstrapConfig(draws=draws),
    )
    return evaluation.scores(Model(pipeline, count, Sampling(guidance=guidance)), [seed])


@frozen
class Pass:
    """One pass over the images of one source with one seed.

    Attributes:
        source: The images.
        metrics: The metrics of these images, by name.
        seed: Sampling seed; None for existing images and reconstructions.
        state: Folder of the saved state; None if nothing is saved.
        writer: Writes the images as files; None if they are not kept.
    """

    source: Source
    metrics: dict[str, Metric]
    seed: int | None
    state: Path | None
    writer: ImageWriter | None


@frozen(kw_only=True)
class Evaluation:
    """Evaluates targets with a set of metrics. With a `folder`, an interrupted evaluation resumes.

    Attributes:
        metrics: The metrics by component name.
        folder: Folder of the scores and of the saved state; None to write no files.
        options: Batch size and saving interval.
        bootstrap: Options of the bootstrap intervals.
        about: Values to store in `Score.about`, such as the path of the model.
        keep_images: Whether to write a model's samples as image files into `folder/images`.
        report: Callback for progress bars.
        share: Rank of this process, and number of processes that divide the images.
    """

    metrics: Mapping[str, Metric]
    folder: Path | None = None
    options: EvalOptions = field(factory=EvalOptions)
    bootstrap: BootstrapConfig = field(factory=BootstrapConfig)
    about: Mapping[str, Any] = field(factory=dict)
    keep_images: bool = False
    report: ProgressCallback = no_report
    share: DataShard = field(factory=DataShard.here)
    _states: list[Path] = field(factory=list)  # state folders, deleted after the last pass

    def scores(self, target: EvalTarget, seeds: Sequence[int] = ()) -> list[Score]:
        """Evaluate a target and write the scores into the folder.

        Args:
            target: Model or images to evaluate.
            seeds: Sampling seeds. A score is the mean over seeds. Empty for existing images and reconstructions.

        Returns:
            One score for each value that the metrics compute. Empty on processes other than rank 0.

        Raises:
            ConfigError: A seed is given twice.
            NanoGenError: A score is not finite, two scores have the same name, another evaluation runs in the folder,
                or the folder holds images of another evaluation.
        """
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"The seeds {', '.join(map(str, seeds))} contain a duplicate: give each seed once.")
        with isolated_rng(), self._locked():
            scores = self._scores(target, seeds)
            if self.folder is not None and scores:
                with progress.writing(self.folder):
                    write_scores(self.folder, scores, note=self._states[-1] / progress.WRITTEN)
            self._delete_states()
        return scores

    def measure_part(self, target: EvalTarget, seeds: Sequence[int], part: DataShard) -> None:
        """Measure one part of the images and save its metric states, which `scores` then combines.

        The parts may run at the same time, without communication, before `scores` is called.

        Args:
            target: As in `scores`.
            seeds: As in `scores`.
            part: Index of this part, and number of parts.
        """
        assert self.folder is not None
        assert not self.keep_images
        with isolated_rng():
            for one in self._passes(target, seeds):
                if one.state is not None and not (one.state / progress.RESULT).exists():
                    report = partial(self.report, f"part {part.rank + 1} of {part.world}")
                    measure(
                        one.source,
                        one.metrics,
                        options=self.options,
                        report=report,
                        folder=one.state,
                        share=part,
                        alone=True,
                    )

    def searched(self, model: Model, scales: Sequence[float], *, seeds: Sequence[int], by: str | None = None) -> Model:
        """Search for the best guidance scale, with a seed that the evaluation does not use.

        Args:
            model: Model to sample from.
            scales: Guidance scales to try. The first of equally good scales wins.
            seeds: Seeds of the evaluation. The seed of the search is the largest of them plus 1.
            by: Name of the score to optimize; by default the first score of the first metric.

        Returns:
            The model with the best scale and the record of the search.

        Raises:
            ConfigError: No metric computes the score `by`, or the model sets a guidance that the search would replace.
        """
        if model.sampling.guidance is not None:
            raise ConfigError(
                "A search for the guidance scale replaces `Sampling.guidance`: leave it out. Choose the guidance by"
                " `pipeline.reconfigured`."
            )
        seed = max(seeds, default=-1) + 1
        quick = evolve(self, bootstrap=BootstrapConfig(draws=0), keep_images=False)
        with isolated_rng(), quick._locked():
            for one in self._passes(model, seeds) if self.keep_images else ():
                if one.writer is not None:
                    one.writer.refuse_others(ignoring=SEARCH_RESULTS)
            rows = [quick._scores(model.sampled(guidance=scale), [seed], by) for scale in scales]
        best = _best(scales, [_criterion(row, by) for row in rows]) if rows[0] else None
        scale, criterion, values = gather.broadcast(best, self.share)
        search = Search(grid=tuple(scales), criterion=criterion, seed=seed, count=model.count or COUNT, scores=values)
        return model.sampled(guidance=scale, search=search)

    def _scores(self, target: EvalTarget, seeds: Sequence[int], by: str | None = None) -> list[Score]:
        """Run all passes. Checks names, old scores and image folders before the first image is made."""
        names = ScoreNames(self.metrics, by)
        if self.folder is not None and (self.folder / FILE).exists():
            read_scores(self.folder)
        passes = self._passes(target, seeds)
        self._claim(passes)
        rows: dict[int | None, list[Entry]] = {one.seed: [] for one in passes}
        for one in passes:
            rows[one.seed] += self._finished(one) or self._measured(one, names)
        return [] if self.share.rank else combined(list(rows.values()), tuple(seeds), self.bootstrap, self.about)

    def _claim(self, passes: Sequence[Pass]) -> None:
        """Mark the image folders as written by this evaluation. Deletes the state of passes whose images are
        missing."""
        writers = [(one, one.writer) for one in passes if one.writer is not None and not self.share.rank]
        for _, writer in writers:
            writer.refuse_others()
        for one, writer in writers:
            if writer.claim() and one.state is not None:
                progress.clear(one.state)
        gather.wait(self.share)

    def _delete_states(self) -> None:
        """Delete the saved states of all processes, on rank 0: two processes cannot delete the same folder."""
        gather.wait(self.share)  # no process still saves
        if not self.share.rank:
            for state in self._states:
                progress.clear(state)
        self._states.clear()
        gather.wait(self.share)  # no process already saves for its next evaluation

    # -- one pass ----------------------------------------------------------------------------------------------------

    def _passes(self, target: EvalTarget, seeds: Sequence[int]) -> list[Pass]:
        return [
            Pass(source, metrics, seed, self._state(source, metrics, seed), self._writer(source, metrics, seed))
            for seed in seeds or (None,)
            for source, metrics in target.parts(self.metrics, seed)
        ]

    def _measured(self, one: Pass, names: ScoreNames) -> list[Entry]:
        """Run one pass and return an entry for each score."""
        source, metrics, seed, state = one.source, one.metrics, one.seed, one.state
        report = partial(self.report, "images" if seed is None else f"samples of seed {seed}")
        measure(
            source,
            metrics,
            options=self.options,
            report=report,
            folder=state,
            writer=one.writer,
            after_first_batch=partial(names.update, share=self.share),
            share=self.share,
        )
        if self.share.rank:
            return []
        found = [
            entry
            for name, metric in metrics.items()
            for entry in entries(name, metric, source, self.bootstrap, self._ticks(name, metric))
        ]
        if state is not None:
            with progress.writing(state):
                facts = {"draws": self.bootstrap.draws, "batch_size": self.options.batch_size}
                seal.write(state / progress.RESULT, {**facts, "entries": found})
        return found

    def _ticks(self, name: str, metric: Metric) -> Callable[[], None]:
        """Return a callback that reports each resampling of a metric."""
        steps = iter(range(1, (total := intervals.expected(metric, self.bootstrap.draws)) + 1))
        return lambda: self.report(f"interval of {name} (--intervals 0 leaves it out)", next(steps), total)

    def _finished(self, one: Pass) -> list[Entry]:
        """Return the stored entries of a pass that finished before an interruption; empty if it did not finish."""
        if one.state is not None:
            self._states.append(one.state)
        path = None if one.state is None else one.state / progress.RESULT
        stored = seal.read(path) if path and not self.share.rank and path.exists() else {}
        found: list[Entry] = stored.get("entries", []) if stored.get("draws") == self.bootstrap.draws else []
        if found:
            progress.warn_other_batch_size(stored.get("batch_size", self.options.batch_size), self.options.batch_size)
        known: list[Entry] = gather.broadcast(found, self.share)
        if known and one.writer is not None:
            every_row = torch.ones(len(one.source.requests.indices), dtype=torch.bool)
            restore(one.source, one.writer, every_row, self.options.batch_size, self.share)
        return known

    def _state(self, source: Source, metrics: Mapping[str, Metric], seed: int | None) -> Path | None:
        """Folder of a pass's saved state. Its name depends on images and settings."""
        if self.folder is None:
            return None
        known = {name: settings(metric, source) for name, metric in metrics.items()}
        facts = {"metrics": known, "about": source.about, "seed": seed, "keep": self.keep_images}
        return self.folder / progress.FOLDER / fingerprint({**facts, "n": len(source.requests.indices)})

    def _writer(self, source: Source, metrics: Mapping[str, Metric], seed: int | None) -> ImageWriter | None:
        if not self.keep_images or self.folder is None or seed is None:
            return None
        place = self.folder / IMAGES / f"seed-{seed}"
        if len(metrics) < len(self.metrics):
            if (place / MARKER).exists():
                raise NanoGenError(f"{place} has images of an evaluation with other metrics. Choose another --output.")
            place /= next(iter(metrics))
        return ImageWriter(place, source, metrics, seed)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder."""
        if self.folder is None or self.share.rank:
            yield
            return
        with progress.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(self.folder / progress.LOCK, self._busy):
            yield

    def _busy(self, holder: str) -> NanoGenError:
        return NanoGenError(
            f"Another evaluation{holder} is running in {self.folder}: wait for it, or choose another folder with"
            " --output."
        )


def _criterion(scores: Sequence[Score], by: str | None) -> Score:
    """Return the score that a guidance search optimizes."""
    if by is not None:
        refuse_unknown(by, [score.metric for score in scores])
    return next(score for score in scores if by in (None, score.metric))


def _best(scales: Sequence[float], scores: Sequence[Score]) -> tuple[float, str, tuple[float, ...]]:
    """Return the best scale, the name of the score, and the score of each scale."""
    values = tuple(score.value for score in scores)
    best = max(values) if scores[0].higher_is_better else min(values)
    return scales[values.index(best)], scores[0].metric, values
