"""Outputs of a run: log lines, sample sheets, checkpoints, and the saved pipeline.

Every process calls these functions at the same steps, except `clean_up`, which only the first process calls. The
first process writes; with FSDP, every process writes its shards of a checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from nanogen_core.errors import TrainingError
from nanogen_files import storage
from nanogen_files.images import grid, to_pil
from nanogen_files.write_errors import translate_write_errors
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import dtensor, processes
from nanogen_train.ema import snapshots
from nanogen_train.logging import metrics_log
from nanogen_train.protocols import Snapshotting, Stage

if TYPE_CHECKING:
    from nanogen_train.trainer.evaluation import Evaluations
    from nanogen_train.trainer.loop import Run

GRID_COLUMNS = 8
SAMPLES = "samples"
logger = logging.getLogger(__name__)


def log(run: Run) -> None:
    """Write a log line with the means of the scalars since the last log line."""
    rates = {f"lr.{phase}": run.optimization.rate(phase) for phase in run.stage.phases(run.step - 1)}
    scalars = {**run.metrics.summary(), **rates}
    if run.engine.is_main:
        metrics_log.append(run.folder, {"step": run.step, **scalars})
        with warn_on_error("The trackers did not receive step %d", run.step):
            run.engine.trackers.log(run.step, scalars)
        with warn_on_error("The progress of step %d could not be shown", run.step):
            run.report(run.step, scalars)


def sheet_path(run: Run) -> Path:
    """Return the file of the current step's sample sheet."""
    return run.folder / SAMPLES / f"step-{run.step:08d}.png"


def draw(run: Run) -> None:
    """Draw a sample sheet. Every process draws a share. An error is logged, and training continues."""
    with warn_on_error("The sample sheet of step %d could not be drawn", run.step):
        images, captions = run.train_step.samples(run.settings.sample_count)
        if run.engine.is_main:
            sheet, file = grid(to_pil(images), captions, columns=GRID_COLUMNS), BytesIO()
            sheet.save(file, "PNG")
            storage.write_bytes(sheet_path(run), file.getvalue())
            run.engine.trackers.log_images(run.step, {SAMPLES: sheet})


def evaluate(run: Run, evaluations: Evaluations) -> None:
    """Score the EMA weights. An error ends a run of several processes. With one process it is only logged."""
    with warn_on_error("The evaluation of step %d failed", run.step) if processes.world() == 1 else nullcontext():
        evaluations.evaluate()


@contextmanager
def warn_on_error(message: str, step: int) -> Iterator[None]:
    """Log an error in the block as a warning, because a sample sheet, tracker or progress bar must not end a run.

    Args:
        message: What failed, with a placeholder for the step.
        step: The current step.
    """
    try:
        yield
    except Exception as error:
        logger.warning(f"{message}: %s: %s. Training continues.", step, type(error).__name__, error)


def save_snapshots(run: Run) -> None:
    """Save the EMA snapshots that are due."""
    if not isinstance(run.stage, Snapshotting):
        return
    for width, tensors in run.stage.snapshots(run.step).items():
        full = dtensor.full_on_cpu(tensors)
        if run.engine.is_main:
            snapshots.write(run.folder, snapshots.Snapshot(run.step, width), full)


def full_weights(stage: Stage) -> dict[str, dict[str, Tensor]]:
    """Return the weights for a saved pipeline, unsharded on the CPU: part -> state dict. A collective call."""
    return {part: dtensor.full_on_cpu(tensors) for part, tensors in stage.weights().items()}


def save(run: Run) -> None:
    """Save the pipeline, then the checkpoint. Raises TrainingError if a loss since the last log line is not finite.

    The order matters: a run that is killed in between resumes from an older checkpoint and saves both again.
    """
    facts = {
        "seconds": run.metrics.seconds,
        "pending": run.metrics.pending(),
        "flops": run.statistics.flops,
        "processes": processes.world(),
        **run.optimization.facts(),
    }
    weights = full_weights(run.stage)
    if run.engine.is_main:
        metrics_log.sync(run.folder)
        run.pipeline.save(run.folder, weights=weights)
        if run.adapter is not None:
            run.adapter.save(run.folder, weights["backbone"])
    states = {"nets": checkpoint.nets_state(run.stage.nets), **run.optimization.state()}
    run.engine.strategy.save(run.folder, run.step, states, facts)
    if run.engine.is_main:
        checkpoint.prune(run.folder, run.settings.keep_last, run.settings.keep_every)


def clean_up(run: Run) -> None:
    """Clean up after a killed run, before training starts.

    Deletes temporary files, EMA snapshots of later steps, and the old checkpoints that `save` would delete. Renames the
    checkpoints of later steps.
    """
    for folder in (run.folder, run.folder / SAMPLES):
        storage.sweep(folder)
    checkpoint.clean_up(run.folder, run.step)
    snapshots.clean_up(run.folder, run.step)
    checkpoint.prune(run.folder, run.settings.keep_last, run.settings.keep_every)


def report_full_disk(folder: Path) -> AbstractContextManager[None]:
    """Return a context that turns a full disk, exceeded quota or file-size limit into a TrainingError.

    The message says how to continue.
    """

    def translate(reason: str) -> TrainingError:
        steps = checkpoint.steps_in(folder)
        advice = (
            f"Free some space or raise the limit, then resume from the checkpoint of step {steps[-1]} with --resume."
            if steps
            else "There is no checkpoint yet: free some space or raise the limit, then start again with --overwrite."
        )
        return TrainingError(f"The run could not write to {folder} ({reason}). {advice}")

    return translate_write_errors(translate)
