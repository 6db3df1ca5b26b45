"""Process of one run of a plan: `python launcher.py nanogen_bench.mini.work OUTPUT FOLDER`.

The process resumes from the newest checkpoint. Its standard input closes when the parent process ends. The process then
saves a checkpoint and stops, as after Ctrl-C. Under torchrun, several processes share the run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from nanogen_bench.mini import folders
from nanogen_bench.mini.job import Job, every_job
from nanogen_bench.mini.plan import checked, read
from nanogen_core.errors import NanoGenError, TrainingError
from nanogen_files import storage
from nanogen_files.folder_lock import folder_lock

if TYPE_CHECKING:
    from nanogen_core.pipeline import Pipeline
    from nanogen_eval.score import Score

PLAN = "plan.yaml"
STATISTICS_BATCHES, STATISTICS_BATCH = 32, 128  # number and size of image batches for latent statistics
EVAL_BATCH = 128  # samples per batch of the evaluation


def find(output: Path, folder: str) -> Job:
    """Return the run whose folder is `output / folder`, from the plan in `output`."""
    plan = checked(read(output / PLAN))
    return next(job for job in every_job(plan, output) if job.folder == output / folder)


def work(job: Job) -> dict[str, Any]:
    """Train a run, and evaluate it unless it is a prepared run. Returns the result. Rank 0 also writes it as a file.

    Raises Interrupted if the process is asked to stop.
    """
    from nanogen_core.pipeline import build_pipeline
    from nanogen_data.loader import DataShard, unsharded
    from nanogen_eval import gather
    from nanogen_train.checkpoint import checkpoint
    from nanogen_train.logging import metrics_log
    from nanogen_train.trainer.loop import Interrupted, Run

    share = DataShard.here()
    if not share.rank:
        folders.claim(job.folder, job.training)
    pipeline = build_pipeline(job.config)
    run = Run(pipeline, job.folder, resume=bool(checkpoint.steps_in(job.folder)), restart=True, report=_report)
    pipeline = run.train()
    if run.stop_requested:
        raise Interrupted("Stopped after the last step. Run the same command again to evaluate the run.")
    trained = time.perf_counter()
    scores = _evaluate(pipeline, job) if job.eval_samples else []
    if job.statistics and not share.rank:
        with unsharded():
            batches = islice(pipeline.task.iter_once("train", STATISTICS_BATCH), STATISTICS_BATCHES)
            pipeline.tokenizer.compute_statistics(batches, job.folder / job.statistics)
    phases = run.stage.phase_names
    result = {
        "request": job.request,
        "scores": {score.metric: score.value for score in scores},
        "steps": run.step,
        "seconds": metrics_log.read(job.folder)[-1]["seconds"],
        "evaluation_seconds": round(time.perf_counter() - trained, 3),
        "parameters": sum(p.numel() for phase in phases for _, p in run.stage.parameters_of(phase)),
        "precision": run.engine.precision,
    }
    gather.wait(share)
    if not share.rank:
        folders.write_result(job.folder, result)
        checkpoint.remove_all(job.folder)  # the checkpoints of 50 runs would fill a disk
    return result


def _evaluate(pipeline: Pipeline, job: Job) -> list[Score]:
    """Write and return the scores. Requests are the same for all runs; the sampling noise has the seed of the run."""
    from nanogen_eval.evaluate import Evaluation
    from nanogen_eval.options import EvalOptions
    from nanogen_eval.targets import Model

    metrics = dict(pipeline.task.metrics())
    evaluation = Evaluation(metrics=metrics, folder=job.folder, options=EvalOptions(batch_size=EVAL_BATCH))
    return evaluation.scores(Model(pipeline, job.eval_samples), [pipeline.config.seed])


def attempt(job: Job) -> int:
    """Execute `work` and return the exit status. A failure is written to `failure.json`, an interruption is not."""
    failure = job.folder / folders.FAILURE
    folders.clear_failure(job.folder)
    try:
        work(job)
    except Exception as error:  # any error: the other runs must continue
        if exit_code := getattr(error, "exit_code", None):
            return int(exit_code)
        message = str(error) if isinstance(error, NanoGenError) else f"{type(error).__name__}: {error}"
        storage.write_json(failure, {"error": message, "traceback": traceback.format_exc()})
        return 1
    return 0


def _report(step: int, scalars: Any) -> None:
    print(f"step {step}  loss {scalars['loss']:.4f}  {scalars['seconds']:.0f} s", flush=True)


def _stop_with_parent() -> None:
    """Wait until the standard input closes, then send SIGTERM to this process."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main(output: str, folder: str) -> int:
    Thread(target=_stop_with_parent, daemon=True).start()
    job = find(Path(output), folder)
    if os.environ.get("RANK", "0") != "0":  # rank 0 holds the lock
        return attempt(job)
    lock = job.folder.parent / f".{job.folder.name}.lock"
    with folder_lock(lock, lambda holder: _busy(job, holder), timeout=120):  # an orphaned run may still be saving
        return 0 if job.result is not None else attempt(job)


def _busy(job: Job, holder: str) -> TrainingError:
    return TrainingError(f"Another process{holder} is working on the run in {job.folder}: end it, or wait for it.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
