"""Estimate of the cost of a plan's unfinished runs, with SLURM scripts for inspection. No run is started."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

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
from nanogen_train.planning.cost import flops_of
from nanogen_train.planning.hardware import gpu_of
from nanogen_train.planning.units import FLOPS, GPU_HOURS, quantity

CLASSES = 1000  # if the data is absent
TITLE = b"#SBATCH --job-name=nanogen-"  # in every script
EXCLUDED = (
    "Not counted: auxiliary losses and their teachers, tokenizers and text encoders (as with precomputed latents),"
    " prepared runs, evaluations, and gradient transfers between GPUs."
)
GPU, UTILISATION = "h100", 0.4  # assumed by default, as by `nanogen plan`
OTHER_SPEED = (
    "For another GPU, set --gpu-tflops and --utilisation, or --measured METHOD=RATE with the images/s on one GPU."
)
#: Parts of a configuration that the FLOPs of a training step depend on.
COSTLY = ("backbone", "objective", "optimizer", "conditioner", "encoder", "image_size", "auxiliary")


@frozen(kw_only=True)
class Speed:
    """Assumption about the speed of a GPU.

    Attributes:
        gpu_tflops: Peak of dense bf16 products, in TFLOP/s; by default that of `GPU`.
        utilisation: Share of the peak that a training reaches; by default `UTILISATION`.
        measured: `METHOD=RATE`: images/s of METHOD's training on the first task, on one GPU. It
            excludes `gpu_tflops` and `utilisation`.
    """

    gpu_tflops: float | None = None
    utilisation: float | None = None
    measured: str | None = None


@frozen
class _Run:
    """Cost of the training of one method on one task."""

    flops_per_image: float
    images: int

    @property
    def flops(self) -> float:
        return self.flops_per_image * self.images

    def hours(self, rate: float) -> float:
        """Return the hours on one GPU that computes `rate` FLOPs per second."""
        return self.flops / rate / 3600


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

    The scripts replace those of earlier estimates.

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
    trainings = [job for job in todo if job.eval_samples]
    measured = _measured(speed, [job.name for job in trainings if job.task == plan.tasks[0]])
    log(f"Reading the configurations of {counted(len(todo), 'unfinished run')}.")
    configurations = {job.folder: resolved(job) for job in todo}
    if isinstance(queue, SlurmQueue):
        yield _write_scripts(queue, output, todo)
    costs = _Costs(log)
    distinct = {(job.name, job.task): configurations[job.folder] for job in trainings}
    runs = {(name, task): costs.run(f"{name}, {task}", one) for (name, task), one in distinct.items()}
    if measured is None:
        rate, assumption = _assumed(speed)
    else:
        name, images = measured
        rate = runs[name, plan.tasks[0]].flops_per_image * images
        assumption = f"Assumed speed: {rate / 1e12:.0f} TFLOP/s per GPU, from {images:g} images/s of {name} as given."
    yield from _table(trainings, runs, rate)
    yield assumption
    yield EXCLUDED


class _Costs:
    """Counts each distinct training step once.

    Args:
        log: Receives a line before each count.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: dict[str, float] = {}

    def run(self, title: str, configuration: Resolved) -> _Run:
        train = configuration.sections["train"]
        return _Run(self._flops(title, configuration), train.batch_size * train.steps)

    def _flops(self, title: str, configuration: Resolved) -> float:
        values = configuration.as_dict()
        parts = {name: values.get(name) for name in COSTLY}
        key = json.dumps([parts, str(Assembly(configuration)["latent"])], default=str, sort_keys=True)
        if key not in self._known:
            self._log(f"Counting FLOPs: {title}")
            self._known[key] = flops_of(configuration, classes=CLASSES)
        return self._known[key]


def _measured(speed: Speed, methods: Iterable[str]) -> tuple[str, float] | None:
    """Return the method and the images/s of `--measured`; None without it."""
    if speed.measured is None:
        return None
    if speed.gpu_tflops is not None or speed.utilisation is not None:
        raise ConfigError("--measured excludes --gpu-tflops and --utilisation: give one or the other.")
    name, _, number = speed.measured.rpartition("=")
    try:
        images = float(number)
    except ValueError:
        images = 0.0
    if name not in methods or not 0 < images < 1e9:
        raise ConfigError(
            f"--measured {speed.measured}: write METHOD=RATE with the images/s of one of these methods:"
            f" {listing(dict.fromkeys(methods))}."
        )
    return name, images


def _assumed(speed: Speed) -> tuple[float, str]:
    """Return the FLOPs per second of a GPU by its peak and utilisation, and a line that names them."""
    share = speed.utilisation or UTILISATION
    tflops, name = (gpu_of(GPU).tflops, f" ({GPU})") if speed.gpu_tflops is None else (speed.gpu_tflops, "")
    line = f"Assumed speed: {share:g} of the peak of {tflops:g} TFLOP/s per GPU{name}."
    return tflops * 1e12 * share, line if speed.gpu_tflops or speed.utilisation else f"{line} {OTHER_SPEED}"


def _table(trainings: Sequence[Job], runs: Mapping[tuple[str, str], _Run], rate: float) -> Iterator[str]:
    """Yield a line for each method and task, and the sums over all seeds and perturbations."""
    width = max((len(name) for name, _ in runs), default=0)
    yield f"{'method':{width}}  {'task':10}{'per image':>14}{'images':>14}{'one run':>15}{'time':>20}"
    for (name, task), run in runs.items():
        flops = f"{quantity(run.flops_per_image, FLOPS):>14}{run.images:14,}{quantity(run.flops, FLOPS):>15}"
        yield f"{name:{width}}  {task:10}{flops}{quantity(run.hours(rate), GPU_HOURS):>20}"
    every = [runs[job.name, job.task] for job in trainings]
    total = f"{counted(len(every), 'training')}: {quantity(sum(run.flops for run in every), FLOPS)}"
    yield f"{total}, {quantity(sum(run.hours(rate) for run in every), GPU_HOURS)}."


def _write_scripts(queue: SlurmQueue, output: Path, todo: Sequence[Job]) -> str:
    folder = output.with_name(f"{output.name}.scripts")
    for old in folder.glob("*.sh"):
        if TITLE in old.read_bytes():
            old.unlink()
    for job in todo:
        place = job.folder.relative_to(output)
        script = queue.script(output / LOGS / place, title=f"nanogen {job.title}")
        storage.write_text(folder / f"{'-'.join(place.parts)}.sh", script)
    return (
        f"Wrote {counted(len(todo), 'script')} for sbatch into {folder}, for inspection. Nothing is submitted."
        " The scripts fail if you submit them: the same command without --dry-run also writes the files that they read,"
        " and lets prepared runs run first."
    )
