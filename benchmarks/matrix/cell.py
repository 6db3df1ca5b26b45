"""One cell of the matrix: training, scores and contact sheet. An interrupted cell resumes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.matrix.cells import Cell, stated_options
from benchmarks.matrix.score import Judge
from benchmarks.matrix.sheet import sheet
from nanogen_bench.mini import folders
from nanogen_core.pipeline import Pipeline, build_pipeline
from nanogen_train.checkpoint import checkpoint
from nanogen_train.logging import metrics_log
from nanogen_train.protocols import Stage
from nanogen_train.trainer.loop import Run

GRID = "grid.png"
ENOUGH = 32  # batches of 128 images for latent statistics

Figures = dict[str, Any]
Report = Callable[[int, Mapping[str, float]], None]


@frozen(kw_only=True)
class Job:
    """A cell on one task. `after` has the jobs that must finish first, by name."""

    name: str
    task: str
    cell: Cell
    config: Mapping[str, Any]
    folder: Path
    judged: int
    untrained: int
    after: Mapping[str, Job]

    @property
    def training(self) -> Figures:
        """JSON values that determine the weights."""
        return {"config": self.config, "after": {name: job.training for name, job in self.after.items()}}

    @property
    def request(self) -> Figures:
        """JSON values that determine the results."""
        judging = {"judge": list(self.cell.judge), "judged": self.judged, "untrained": self.untrained}
        return {"training": self.training, **judging}

    @property
    def result(self) -> Figures | None:
        """Results of the finished cell; None if it is unfinished or has another request."""
        return folders.finished_result(self.folder, self.request)


def work(job: Job, judge: Judge, report: Report) -> Figures:
    """Train and evaluate a cell. Returns the results, which are also written into its folder."""
    folders.claim(job.folder, job.training)
    with stated_options():
        pipeline = build_pipeline(job.config)
    since = time.perf_counter()
    baseline = _baseline(job, pipeline, judge)
    judging = time.perf_counter() - since
    run, pipeline = _train(job, pipeline, report)
    since = time.perf_counter()
    scores = [*_logged(job), *_judged(job, pipeline, judge), *baseline]
    _leave(job, pipeline)
    result = {
        "request": job.request,
        "steps": run.step,
        "seconds": round(metrics_log.read(job.folder)[-1]["seconds"], 1),
        "evaluation_seconds": round(judging + time.perf_counter() - since, 1),
        "parameters": _parameters(run.stage),
        "precision": run.engine.precision,
        "seed": run.seed,
        "scores": scores,
    }
    folders.write_result(job.folder, result)
    return result


def _train(job: Job, pipeline: Pipeline, report: Report) -> tuple[Run, Pipeline]:
    resume = bool(checkpoint.steps_in(job.folder))
    run = Run(pipeline, job.folder, resume=resume, restart=True, report=report)
    return run, run.train()


def _leave(job: Job, pipeline: Pipeline) -> None:
    """Write the contact sheet, and files that other cells need."""
    if job.cell.statistics:
        batches = islice(pipeline.task.iter_once("train", 128), ENOUGH)
        pipeline.tokenizer.compute_statistics(batches, job.folder / job.cell.statistics)
    if job.cell.judge:
        sheet(pipeline, job.cell.judge).save(job.folder / GRID, optimize=True)
    else:
        shutil.copyfile(max((job.folder / "samples").glob("*.png")), job.folder / GRID)


def _parameters(stage: Stage) -> int:
    """Number of trained parameters, including those of auxiliary losses."""
    return sum(tensor.numel() for phase in stage.phase_names for _, tensor in stage.parameters_of(phase))


def _logged(job: Job) -> list[Figures]:
    last = metrics_log.read(job.folder)[-1]
    return [_row("trained", None, None, {name: last[name] for name in job.cell.logged})] if job.cell.logged else []


def _judged(job: Job, pipeline: Pipeline, judge: Judge) -> list[Figures]:
    """Return the scores for each number of sampling steps, and of real drawings."""
    scores = {steps: judge.sampled(pipeline, job.judged, steps=steps) for steps in job.cell.judge}
    real = [_row("real", None, job.judged, judge.real(pipeline, job.judged))] if scores else []
    return [*(_row("trained", steps, job.judged, found) for steps, found in scores.items()), *real]


def _baseline(job: Job, pipeline: Pipeline, judge: Judge) -> list[Figures]:
    """Return the scores of the initial weights."""
    if not job.cell.judge:
        return []
    steps = job.cell.judge[-1]
    return [_row("untrained", steps, job.untrained, judge.sampled(pipeline, job.untrained, steps=steps))]


def _row(network: str, steps: int | None, samples: int | None, scores: Mapping[str, float]) -> Figures:
    rounded = {name: round(value, 4) for name, value in scores.items()}
    return {"network": network, "sampling_steps": steps, "samples": samples, "scores": rounded}
