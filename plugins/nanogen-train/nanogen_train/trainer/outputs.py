"""What a run leaves in its folder while it goes on: log lines, sheets of samples, checkpoints, the pipeline itself.

Every process calls these functions at the same steps; the first one writes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from nanogen_core.errors import TrainingError
from nanogen_files import storage
from nanogen_files.images import grid, to_pil
from nanogen_files.write_errors import translate_write_errors
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import dtensor, processes
from nanogen_train.ema import snapshots
from nanogen_train.logging import metrics_log
from nanogen_train.protocols import Snapshotting

if TYPE_CHECKING:
    from nanogen_train.trainer.loop import Run

GRID_COLUMNS = 8
SAMPLES = "samples"
logger = logging.getLogger(__name__)


def log(run: Run) -> None:
    """One line, of the means since the last one."""
    rates = {f"lr.{phase}": run.optimization.rate(phase) for phase in run.stage.phases(run.step - 1)}
    scalars = {**run.watch.summary(), **rates}
    if run.engine.is_main:
        metrics_log.append(run.folder, {"step": run.step, **scalars})
        with optional("The trackers were not told of step %d", run.step):
            run.engine.trackers.log(run.step, scalars)
        with optional("The progress of step %d could not be shown", run.step):
            run.report(run.step, scalars)


def sheet_of(run: Run) -> Path:
    """Where the sheet of samples of the present step lies."""
    return run.folder / SAMPLES / f"step-{run.step:08d}.png"


def draw(run: Run) -> None:
    """A sheet of samples. Every process draws a part. A failure is logged, and the training goes on."""
    with optional("The sample sheet of step %d could not be drawn", run.step):
        images, captions = run.stage.samples(run.settings.sample_count)
        if run.engine.is_main:
            sheet, file = grid(to_pil(images), captions, columns=GRID_COLUMNS), BytesIO()
            sheet.save(file, "PNG")
            storage.write_bytes(sheet_of(run), file.getvalue())
            run.engine.trackers.show(run.step, {SAMPLES: sheet})


@contextmanager
def optional(what: str, step: int) -> Iterator[None]:
    """Logs an error in the block as a warning. No sheet, tracker or progress bar may end a run."""
    try:
        yield
    except Exception as error:
        logger.warning(f"{what}: %s: %s. The training goes on.", step, type(error).__name__, error)


def keep(run: Run) -> None:
    """The averages that are due, for good."""
    if not isinstance(run.stage, Snapshotting):
        return
    for width, tensors in run.stage.snapshots(run.step).items():
        whole = dtensor.whole_on_cpu(tensors)
        if run.engine.is_main:
            snapshots.write(run.folder, snapshots.Snapshot(run.step, width), whole)


def save(run: Run) -> None:
    """The pipeline as it would be used now, then the checkpoint; a NaN since the last log line is found first.

    In this order, because a run that is killed in between goes on from an older checkpoint and saves both again.
    """
    facts = {
        "seconds": run.watch.seconds,
        "pending": run.watch.pending(),
        "flops": run.statistics.flops,
        "processes": processes.world(),
        **run.optimization.facts(),
    }
    weights = {part: dtensor.whole_on_cpu(tensors) for part, tensors in run.stage.weights().items()}
    if run.engine.is_main:
        metrics_log.sync(run.folder)
        run.pipeline.save(run.folder, weights=weights)
    states = {"nets": run.stage.nets.state_dict(), **run.optimization.state()}
    run.engine.strategy.save(run.folder, run.step, states, facts)
    if run.engine.is_main:
        checkpoint.thin_out(run.folder, run.settings.keep_last, run.settings.keep_every)


def tidy(run: Run) -> None:
    """Clears what a killed run left behind."""
    for folder in (run.folder, run.folder / SAMPLES):
        storage.sweep(folder)
    checkpoint.tidy(run.folder, run.step)
    snapshots.tidy(run.folder, run.step)
    checkpoint.thin_out(run.folder, run.settings.keep_last, run.settings.keep_every)


def report_full_disk(folder: Path) -> AbstractContextManager[None]:
    """Raise TrainingError, with the step to resume from, if the disk is full inside the block."""

    def translate(reason: str) -> TrainingError:
        steps = checkpoint.steps_in(folder)
        advice = (
            f"Free some space and resume from the checkpoint of step {steps[-1]} with --resume."
            if steps
            else "There is no checkpoint yet: free some space and start again."
        )
        return TrainingError(f"The run could not write to {folder} ({reason}). {advice}")

    return translate_write_errors(translate)
