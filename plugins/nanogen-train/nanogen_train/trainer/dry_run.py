"""Dry run: build everything and take one training step in a temporary folder."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from nanogen_core.pipeline import Pipeline, build_pipeline
from nanogen_core.resolved import Part, Resolved
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard
from nanogen_files.errors import counted
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import processes
from nanogen_train.settings import TrainConfig
from nanogen_train.trainer import outputs
from nanogen_train.trainer.loop import Run
from nanogen_train.trainer.step import micro_batch_size

PARTS = ("tokenizer", "conditioner", "backbone", "objective")  # parts of a pipeline that can have weights
CPU_SAMPLES = 8  # per process and step on a CPU, where a batch that is too large ends other programs


class Count(NamedTuple):
    """Numbers of all and of trained parameters of a part. A shared parameter counts for the first part only."""

    parameters: int
    trained: int


@frozen(kw_only=True)
class DryRun:
    """Results of a dry run.

    `shapes` are the shapes of the tensors in this process's share of the batch, and those of one latent and of one
    condition. `scalars` are the logged values.
    """

    setting: Mapping[str, str]
    shapes: Mapping[str, str]
    counts: Mapping[str, Count]
    scalars: Mapping[str, float]
    sheet: str | None  # error of the sample sheet; None if it succeeded or is disabled
    checkpoint: int  # bytes
    seconds: float  # duration of the first step, including its batch and compilation
    flops: float  # of one step, over all processes
    peak: Mapping[str, int]  # peak memory of the process and of its device, bytes
    init: str | None = None  # table of the weights that `train.init` gave


def run_dry(config: Resolved) -> DryRun:
    """Build a configuration, take one step, save a checkpoint to a temporary folder, and draw one sample per process.

    On a CPU, the step has at most `CPU_SAMPLES` samples per process. On a GPU it has the whole batch.
    The sampler takes one step if it has the option `steps`. With `sample_every: 0` no sample is drawn. Latents are not
    cached, because that would take an epoch. Called on every process. Raises the errors that training would raise.
    """
    whole: TrainConfig = config.sections["train"]
    tried = evolve(whole, cache_latents=False, batch_size=_batch_size(whole))
    config = evolve(
        config,
        sections={**config.sections, "train": tried},
        slots=_one_sampling_step(config.slots),
    )
    with TemporaryDirectory() as folder:
        run = Run(build_pipeline(config), Path(folder))
        micro_batch_size(len(DataShard.here().of(whole.batch_size)), whole.grad_accum_steps)  # refuses unequal parts
        counts = dict(_counts(run))
        start = time.perf_counter()
        batch, scalars = run.first_step()
        seconds = time.perf_counter() - start
        outputs.save(run)
        size = sum(file.stat().st_size for file in checkpoint.path_of(Path(folder), run.step).rglob("*"))
        sheet = _sheet(run)
    return DryRun(
        setting=_setting(run, whole.batch_size),
        shapes=dict(_shapes(batch, run.pipeline)),
        counts=counts,
        scalars=scalars,
        sheet=sheet,
        checkpoint=size,
        seconds=seconds,
        flops=sum((run.statistics.flops or {}).values()),
        peak=_peak(run.engine.device),
        init=None if run.init is None else str(run.init),
    )


def _batch_size(settings: TrainConfig) -> int:
    """Return the samples of the step over all processes."""
    if torch.cuda.is_available():
        return settings.batch_size
    parts = settings.grad_accum_steps
    per_process = max(CPU_SAMPLES // parts, 1) * parts
    return min(settings.batch_size, per_process * int(os.environ.get("WORLD_SIZE", "1")))


def _one_sampling_step(slots: Mapping[str, Part]) -> dict[str, Part]:
    """Return the parts with a one-step sampler, if the sampler has the option `steps`."""
    sampler = slots.get("sampler")
    if sampler is None or not hasattr(sampler.config, "steps"):
        return dict(slots)
    return {**slots, "sampler": evolve(sampler, config=evolve(sampler.config, steps=1))}


def _sheet(run: Run) -> str | None:
    """Draw one sample per process. Return the error message if this fails."""
    if not run.settings.sample_every:
        return None
    try:
        run.train_step.samples(processes.world())
    except Exception as error:  # training would continue without sample sheets
        return f"{type(error).__name__}: {error}"
    return None


def _setting(run: Run, batch_size: int) -> dict[str, str]:
    engine, tried = run.engine, run.settings.batch_size
    return {
        "device": str(engine.device),
        "precision": engine.precision,
        "strategy": run.settings.strategy,
        "processes": str(processes.world()),
        "samples": str(tried) if tried == batch_size else f"{tried} (on a CPU; train.batch_size is {batch_size})",
    }


def _shapes(batch: Batch, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    condition = {} if batch.condition is None else batch.condition._asdict()
    for name, value in {**batch._asdict(), **batch.extras, **condition}.items():
        if isinstance(value, Tensor):
            yield name, f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if batch.captions is not None:
        yield "captions", counted(len(batch.captions), "text")
    spec = pipeline.conditioner.spec
    yield "latent of one", str(list(pipeline.latent.shape))
    yield "condition of one", str([spec.length, spec.width])


def _counts(run: Run) -> Iterator[tuple[str, Count]]:
    """Count the parameters of the pipeline's parts, then of the stage's other networks."""
    optimizers = run.optimization.optimizers.values()
    trained_ids = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    counted: set[int] = set()
    for name, part in [*((part, run.pipeline.parts[part]) for part in PARTS), *run.stage.nets.items()]:
        parameters = {id(p): p for module in _modules(part) for p in module.parameters() if id(p) not in counted}
        counted |= parameters.keys()
        if parameters:
            trained = sum(p.numel() for key, p in parameters.items() if key in trained_ids)
            yield name, Count(sum(p.numel() for p in parameters.values()), trained)


def _modules(part: Any) -> list[nn.Module]:
    """Return the part if it is a module, otherwise the modules among its attributes."""
    return [part] if isinstance(part, nn.Module) else [v for v in vars(part).values() if isinstance(v, nn.Module)]


def _peak(device: torch.device) -> dict[str, int]:
    unit = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"process": process, **({"device": torch.cuda.max_memory_allocated()} if device.type == "cuda" else {})}
