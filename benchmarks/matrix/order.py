"""Execution of the matrix. Skips finished cells, and continues after failures."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from benchmarks.matrix.cell import GRID, Figures, Job, Report, work
from benchmarks.matrix.cells import Plan, configuration, folder
from benchmarks.matrix.score import Judge
from nanogen_core.errors import NanoGenError
from nanogen_files import storage
from nanogen_train.trainer.loop import Interrupted

FAILURE = "failure.json"

Say = Callable[[str], None]


@frozen(kw_only=True)
class Record:
    """State of a cell on one task: `figures` if it is finished, `error` if it failed, or neither."""

    name: str
    task: str
    summary: str
    judge: tuple[int, ...]
    figures: Figures | None
    error: str | None
    grid: Path


@frozen(kw_only=True)
class Matrix:
    """A plan with its output folder. `scale` multiplies the numbers of training steps."""

    plan: Plan
    output: Path
    scale: float = 1.0

    def job(self, task: str, name: str) -> Job:
        cell = self.plan.cells[name]
        return Job(
            name=name,
            task=task,
            cell=cell,
            config=configuration(self.plan, name, task, output=self.output, scale=self.scale),
            folder=folder(self.output, task, name),
            judged=self.plan.judged,
            untrained=self.plan.untrained,
            after={need: self.job(task, need) for need in cell.needs},
        )

    def record(self, task: str, name: str) -> Record:
        """Return the state of a cell from its folder."""
        job = self.job(task, name)
        failure, figures = job.folder / FAILURE, job.result
        error = storage.read_json(failure)["error"] if figures is None and failure.is_file() else None
        grid, cell = job.folder / GRID, job.cell
        return Record(
            name=name, task=task, summary=cell.summary, judge=cell.judge, figures=figures, error=error, grid=grid
        )

    def records(self) -> list[Record]:
        """Return the states of all cells on all tasks, in the order of the plan."""
        return [self.record(task, name) for task in self.plan.tasks for name in self.plan.cells]

    def run(self, names: list[str], tasks: tuple[str, ...], *, say: Say, report: Report) -> Iterator[Record]:
        """Run each cell in turn. Raises Interrupted after a stop request; the matrix can then be resumed."""
        judge = Judge()
        for number, (task, name) in enumerate([(task, name) for task in tasks for name in names], start=1):
            where = f"{number}/{len(tasks) * len(names)} {task} {name}"
            if self.record(task, name).figures is None:
                say(f"{where}: {self.plan.cells[name].summary}")
                self._attempt(self.job(task, name), judge, report)
            else:
                say(f"{where}: already finished")
            yield self.record(task, name)

    def _attempt(self, job: Job, judge: Judge, report: Report) -> None:
        failure, since = job.folder / FAILURE, time.perf_counter()
        failure.unlink(missing_ok=True)
        try:
            self._require(job)
            work(job, judge, report)
        except Interrupted:
            raise
        except Exception as error:  # any error: the other cells must continue
            told = str(error) if isinstance(error, NanoGenError) else f"{type(error).__name__}: {error}"
            seconds = round(time.perf_counter() - since, 1)
            storage.write_json(failure, {"error": told, "seconds": seconds, "traceback": traceback.format_exc()})

    def _require(self, job: Job) -> None:
        for need, before in job.after.items():
            if before.result is None:
                raise NanoGenError(f"This cell needs the cell {need!r} on the same task, which did not finish.")
