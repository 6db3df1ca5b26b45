"""A dry run: everything is built and one step is taken, in a folder that is thrown away."""

from __future__ import annotations

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
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import processes
from nanogen_train.trainer import outputs
from nanogen_train.trainer.loop import Run

PARTS = ("tokenizer", "conditioner", "backbone", "objective")  # of a pipeline, those that may hold weights


class Count(NamedTuple):
    """Parameters of a part, and those of them that are trained; one that two parts share counts for the first."""

    parameters: int
    trained: int


@frozen(kw_only=True)
class DryRun:
    """What a dry run found. `shapes` are those of this process's share of the batch; `scalars` are the step's."""

    setting: Mapping[str, str]
    shapes: Mapping[str, str]
    counts: Mapping[str, Count]
    scalars: Mapping[str, float]
    sheet: str | None  # why no sheet of samples can be drawn; None where it can, or where none is asked for
    checkpoint: int  # bytes
    seconds: float  # of the first step, which may compile, with its batch
    flops: float  # of the step, over all processes
    peak: Mapping[str, int]  # bytes: of this process, and of its device


def run_dry(config: Resolved) -> DryRun:
    """Builds what the configuration describes, takes one step, saves a checkpoint into a temporary folder, and draws a
    sample in one sampling step. Latents are not cached, which would take an epoch.

    Every process calls it. Raises what training would, up to there.
    """
    config = evolve(
        config,
        sections={**config.sections, "train": evolve(config.sections["train"], cache_latents=False)},
        slots=_one_sampling_step(config.slots),
    )
    with TemporaryDirectory() as folder:
        run = Run(build_pipeline(config.as_dict()), Path(folder))
        counts = dict(_counts(run))
        begun = time.perf_counter()
        batch, scalars = run.first_step()
        seconds = time.perf_counter() - begun
        outputs.save(run)
        size = sum(file.stat().st_size for file in checkpoint.path_of(Path(folder), run.step).rglob("*"))
        sheet = _sheet(run)
    return DryRun(
        setting=_setting(run),
        shapes=dict(_shapes(batch, run.pipeline)),
        counts=counts,
        scalars=scalars,
        sheet=sheet,
        checkpoint=size,
        seconds=seconds,
        flops=sum((run.statistics.flops or {}).values()),
        peak=_peak(run.engine.device),
    )


def _one_sampling_step(slots: Mapping[str, Part]) -> dict[str, Part]:
    """The parts, with a sampler that takes one step where its options have `steps`."""
    sampler = slots.get("sampler")
    if sampler is None or not hasattr(sampler.config, "steps"):
        return dict(slots)
    return {**slots, "sampler": evolve(sampler, config=evolve(sampler.config, steps=1))}


def _sheet(run: Run) -> str | None:
    """Asks for the sheet's samples, as many as there are processes; why that fails, or None."""
    if not run.settings.sample_every:
        return None
    try:
        run.stage.samples(processes.world())
    except Exception as error:  # the training would go on without sheets
        return f"{type(error).__name__}: {error}"
    return None


def _setting(run: Run) -> dict[str, str]:
    engine = run.engine
    return {
        "device": str(engine.device),
        "precision": engine.precision,
        "strategy": run.settings.strategy,
        "processes": str(processes.world()),
    }


def _shapes(batch: Batch, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    condition = {} if batch.condition is None else batch.condition._asdict()
    for name, value in {**batch._asdict(), **batch.extras, **condition}.items():
        if isinstance(value, Tensor):
            yield name, f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if batch.captions is not None:
        yield "captions", f"{len(batch.captions)} texts"
    spec = pipeline.conditioner.spec
    yield "latent of one", str(list(pipeline.latent.shape))
    yield "condition of one", str([spec.length, spec.width])


def _counts(run: Run) -> Iterator[tuple[str, Count]]:
    """The parts of the pipeline, then what else the stage has in its nets."""
    optimizers = run.optimization.optimizers.values()
    moved = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    seen: set[int] = set()
    for name, part in [*((part, run.pipeline.parts[part]) for part in PARTS), *run.stage.nets.items()]:
        new = {id(p): p for module in _modules(part) for p in module.parameters() if id(p) not in seen}
        seen |= new.keys()
        if new:
            trained = sum(p.numel() for key, p in new.items() if key in moved)
            yield name, Count(sum(p.numel() for p in new.values()), trained)


def _modules(part: Any) -> list[nn.Module]:
    """The part itself, or the modules that it holds."""
    return [part] if isinstance(part, nn.Module) else [v for v in vars(part).values() if isinstance(v, nn.Module)]


def _peak(device: torch.device) -> dict[str, int]:
    unit = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"process": process, **({"device": torch.cuda.max_memory_allocated()} if device.type == "cuda" else {})}
