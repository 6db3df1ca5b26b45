"""Estimate of the cost of a plan's unfinished runs, with SLURM scripts for inspection. No run is started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from nanogen_bench.mini.experiment import resolved
from nanogen_bench.mini.job import Job, jobs
from nanogen_bench.mini.plan import checked
from nanogen_bench.mini.scheduler import LOGS, Log
from nanogen_cluster.queues import LocalQueue, SlurmQueue
from nanogen_core.assembly import Assembly
from nanogen_core.config import Resolved
from nanogen_core.errors import ConfigError, listing
from nanogen_files import storage
from nanogen_files.errors import counted
from nanogen_train.planning.cost import Cost, cost_of
from nanogen_train.planning.hardware import gpu_of
from nanogen_train.planning.plan import Setting, plan_for
from nanogen_train.planning.units import FLOPS, GPU_HOURS, quantity

CLASSES = 1000  # if the data is absent
EXCLUDED = (
    "Not counted: auxiliary losses and their teachers, tokenizers and text encoders (as with precomputed latents),"
    " prepared runs, evaluations, and gradient transfers between GPUs."
)
MISSING_SPEED = (
    "GPU hours: unknown without the GPU's speed. Give --gpu-tflops and --utilisation, or --measured METHOD=RATE with"
    " the images/s of a training on one GPU."
)
#: Parts of a configuration that the FLOPs of a training step depend on.
COSTLY = ("backbone", "objective", "optimizer", "conditioner", "encoder", "image_size", "auxiliary")


@frozen(kw_only=True)
class Speed:
    """Assumption about the speed of a GPU.

    Attributes:
        gpu_tflops: Peak of dense bf16 products, in TFLOP/s.
        utilisation: Share of the peak that a training reaches.
        measured: `METHOD=RATE`: images/s of METHOD's training on the first task, on one GPU. It
            excludes `gpu_tflops` and `utilisation`.
    """

    gpu_tflops: float | None = None
    utilisation: float | None = None
    measured: str | None = None


@frozen
class _Run:
    """Cost of the training of one method on one task."""

    cost: Cost
    batch_size: int
    steps: int

    @property
    def flops(self) -> float:
        return self.cost.flops * self.batch_size * self.steps

    def hours(self, tflops: float, utilisation: float) -> float:
        """Return the hours on one GPU."""
        setting = Setting(gpus=1, gpu=evolve(gpu_of("h100"), tflops=tflops), utilisation=utilisation)
        return plan_for(self.cost, setting, batch_size=self.batch_size, steps=self.steps).figures["days"] * 24


def dry_run(
    raw: Mapping[str, Any],
    output: Path,
    *,
    only: tuple[str, ...],
    queue: LocalQueue | SlurmQueue,
    speed: Speed,
    log: Log,
) -> Iterator[str]:
    """Estimate the cost of the unfinished runs. For SLURM, also write their scripts for sbatch, for inspection.

    Args:
        raw: The plan as plain values.
        output: Output folder. The scripts go to the folder `OUTPUT.scripts`, in the same parent folder.
        only: Methods to include; all if empty.
        queue: Queue of the jobs.
        speed: Assumption about the speed of a GPU.
        log: Receives lines of progress.

    Yields:
        Lines of the cost table, and notes on it.

    Raises:
        NanoGenError: The plan, one of its configurations, `only` or `speed` is wrong.
    """
    plan = checked(raw)
    output = output.resolve()
    todo = [job for job in jobs(plan, output, plan.chosen(only)) if job.result is None]
    log(f"Reading the configurations of {counted(len(todo), 'unfinished run')}.")
    configurations = {job.folder: resolved(job) for job in todo}
    _check(speed)
    if isinstance(queue, SlurmQueue):
        yield _write_scripts(queue, output, todo)
    trainings = [job for job in todo if job.eval_samples]
    costs = _Costs(log)
    distinct = {(job.name, job.task): configurations[job.folder] for job in trainings}
    runs = {(name, task): costs.run(f"{name}, {task}", one) for (name, task), one in distinct.items()}
    rate = _rate(speed, {name: run for (name, task), run in runs.items() if task == plan.tasks[0]})
    yield from _table(trainings, runs, None if rate is None else rate[:2])
    yield MISSING_SPEED if rate is None else rate[2]
    yield EXCLUDED


def _check(speed: Speed) -> None:
    if (speed.gpu_tflops is None) != (speed.utilisation is None):
        raise ConfigError("--gpu-tflops and --utilisation belong together: give both.")
    if speed.measured is not None and speed.gpu_tflops is not None:
        raise ConfigError("--measured and --gpu-tflops exclude each other: give one of them.")


class _Costs:
    """Counts each distinct training step once.

    Args:
        log: Receives a line before each count.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, Cost] = {}

    def run(self, title: str, configuration: Resolved) -> _Run:
        train = configuration.sections["train"]
        return _Run(self._cost(title, configuration), train.batch_size, train.steps)

    def _cost(self, title: str, configuration: Resolved) -> Cost:
        values = configuration.as_dict()
        parts = {name: values.get(name) for name in COSTLY}
        key = json.dumps([parts, str(Assembly(configuration)["latent"])], default=str, sort_keys=True)
        if key not in self._known:
            self._log(f"Counting FLOPs: {title}")
            self._known[key] = cost_of(configuration, classes=CLASSES)
        return self._known[key]


def _rate(speed: Speed, runs: Mapping[str, _Run]) -> tuple[float, float, str] | None:
    """Return TFLOP/s, the utilisation, and a line that names their basis; None if the speed is unknown."""
    if speed.measured is not None:
        name, images = _measured(speed.measured, runs)
        tflops = runs[name].cost.flops * images / 1e12
        return tflops, 1.0, f"Assumed speed: {tflops:.0f} TFLOP/s per GPU, from {images:g} images/s of {name} as given."
    if speed.gpu_tflops is None or speed.utilisation is None:
        return None
    return (
        speed.gpu_tflops,
        speed.utilisation,
        f"Assumed speed: {speed.utilisation:.0%} of {speed.gpu_tflops:g} TFLOP/s per GPU, both as given.",
    )


def _measured(text: str, runs: Mapping[str, _Run]) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        images = float(number)
    except ValueError:
        images = 0.0
    if name not in runs or not 0 < images < 1e9:
        raise ConfigError(
            f"--measured {text}: write METHOD=RATE with the images/s of one of these methods: {listing(runs)}."
        )
    return name, images


def _table(
    trainings: Sequence[Job], runs: Mapping[tuple[str, str], _Run], rate: tuple[float, float] | None
) -> Iterator[str]:
    """Yield a line for each method and task, and the sums over all seeds and perturbations."""
    width = max((len(name) for name, _ in runs), default=0)
    head = f"{'method':{width}}  {'task':10}{'per image':>14}{'images':>14}{'one run':>15}"
    yield head + ("" if rate is None else f"{'time':>20}")
    for (name, task), run in runs.items():
        flops = f"{quantity(run.cost.flops, FLOPS):>14}{run.batch_size * run.steps:14,}{quantity(run.flops, FLOPS):>15}"
        hours = "" if rate is None else f"{quantity(run.hours(*rate), GPU_HOURS):>20}"
        yield f"{name:{width}}  {task:10}{flops}{hours}"
    every = [runs[job.name, job.task] for job in trainings]
    total = f"{counted(len(every), 'training')}: {quantity(sum(run.flops for run in every), FLOPS)}"
    hours = "" if rate is None else f", {quantity(sum(run.hours(*rate) for run in every), GPU_HOURS)}"
    yield f"{total}{hours}."


def _write_scripts(queue: SlurmQueue, output: Path, todo: Sequence[Job]) -> str:
    folder = output.with_name(f"{output.name}.scripts")
    for job in todo:
        place = job.folder.relative_to(output)
        script = queue.script(output / LOGS / place, title=f"nanogen {job.title}")
        storage.write_text(folder / f"{'-'.join(place.parts)}.sh", script)
    return (
        f"Wrote {counted(len(todo), 'script')} for sbatch into {folder}, for inspection. Nothing is submitted."
        " The scripts fail if you submit them: the same command without --dry-run also writes the files that they read,"
        " and lets prepared runs run first."
    )
