"""One run of a plan in a process of its own: `python launcher.py nanogen_bench.mini.work OUTPUT TASK NAME SEED`.

It goes on from its last checkpoint. When its parent ends, by whatever signal, its standard input ends too: then it
stops as at Ctrl-C, with a checkpoint.
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
from typing import Any

from nanogen_bench.mini import folders
from nanogen_bench.mini.job import Job, jobs
from nanogen_bench.mini.plan import checked, read
from nanogen_core.errors import NanoGenError, TrainingError
from nanogen_files import storage
from nanogen_files.folder_lock import folder_lock

PLAN = "plan.yaml"
STATISTICS_BATCHES, STATISTICS_BATCH = 32, 128  # of images, for the statistics of latents


def find(output: Path, task: str, name: str, seed: int) -> Job:
    """The run of these names in the plan that lies in the folder."""
    plan = checked(read(output / PLAN))
    return next(j for j in jobs(plan, output, list(plan.methods)) if (j.task, j.name, j.seed) == (task, name, seed))


def work(job: Job) -> dict[str, Any]:
    """Trains and judges; returns the result, which then also lies in the run's folder."""
    from nanogen_bench.mini.judging import judge
    from nanogen_core.pipeline import build_pipeline
    from nanogen_train.checkpoint import checkpoint
    from nanogen_train.logging import metrics_log
    from nanogen_train.trainer.loop import Run

    folders.claim(job.folder, job.training)
    pipeline = build_pipeline(job.config)
    run = Run(pipeline, job.folder, resume=bool(checkpoint.steps_in(job.folder)), restart=True, report=_report)
    pipeline = run.train()
    trained = time.perf_counter()
    scores = judge(pipeline, job.folder, job.judged) if job.judged else []
    if job.statistics:
        batches = islice(pipeline.task.iter_once("train", STATISTICS_BATCH), STATISTICS_BATCHES)
        pipeline.tokenizer.compute_statistics(batches, job.folder / job.statistics)
    phases = run.stage.phase_names
    result = {
        "asked": job.asked,
        "scores": {score.metric: score.value for score in scores},
        "steps": run.step,
        "seconds": metrics_log.read(job.folder)[-1]["seconds"],
        "judging_seconds": round(time.perf_counter() - trained, 3),
        "parameters": sum(p.numel() for phase in phases for _, p in run.stage.parameters_of(phase)),
        "precision": run.engine.precision,
    }
    folders.write_result(job.folder, result)
    checkpoint.remove_all(job.folder)  # nothing goes on from here, and 50 runs would fill a disk
    return result


def attempt(job: Job) -> int:
    """`work`, with a mistake written down. Returns the exit status."""
    failure = job.folder / folders.FAILURE
    if folders.is_failure(failure):
        failure.unlink()
    try:
        work(job)
    except Exception as error:  # whatever it is, the other runs go on
        if exit_code := getattr(error, "exit_code", None):
            return int(exit_code)
        told = str(error) if isinstance(error, NanoGenError) else f"{type(error).__name__}: {error}"
        storage.write_json(failure, {"error": told, "traceback": traceback.format_exc()})
        return 1
    return 0


def _report(step: int, scalars: Any) -> None:
    print(f"step {step}  loss {scalars['loss']:.4f}  {scalars['seconds']:.0f} s", flush=True)


def _stop_with_parent() -> None:
    """Reads until the parent is gone."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main(output: str, task: str, name: str, seed: str) -> int:
    Thread(target=_stop_with_parent, daemon=True).start()
    job = find(Path(output), task, name, int(seed))
    lock = job.folder.parent / f".{job.folder.name}.lock"
    with folder_lock(lock, lambda holder: _busy(job, holder), timeout=120):  # an orphaned run may still be saving
        return attempt(job)


def _busy(job: Job, holder: str) -> TrainingError:
    return TrainingError(f"Another process{holder} is working on the run in {job.folder}: end it, or wait for it.")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
