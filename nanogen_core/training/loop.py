"""The one loop: runs any stage, logs, draws, saves, resumes, and stops without losing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from nanogen_core import memory, storage, yaml_files
from nanogen_core.config import CONFIG
from nanogen_core.data import Share
from nanogen_core.errors import TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.prepared import training as prepared
from nanogen_core.protocols import Stage
from nanogen_core.randomness import Draws, key
from nanogen_core.tensors import Batch
from nanogen_core.training import cache, checkpoint, failure, journal, outputs, ranks
from nanogen_core.training.alone import alone
from nanogen_core.training.engine import Engine
from nanogen_core.training.optimization import Optimization
from nanogen_core.training.outputs import full_disk
from nanogen_core.training.signals import stop_request
from nanogen_core.training.step import Part, means, micro_batches, named_by_phase
from nanogen_core.training.vitals import Noted, Vitals
from nanogen_core.training.watch import Watch

Report = Callable[[int, Mapping[str, float]], None]  # step, scalars of the last log line: for a progress bar
ENCODING_BATCH = 256


class Interrupted(TrainingError):
    """The run was asked to stop, and left a checkpoint."""

    exit_code = 130  # what a shell calls a program that Ctrl-C ended


class Run:
    """One training run in one folder. `train()` takes it to its last step. Every process of a run has one."""

    def __init__(self, pipeline: Pipeline, folder: Path, *, resume: bool = False, report: Report | None = None):
        self.pipeline, self.folder, self.report = pipeline, Path(folder), report or (lambda step, scalars: None)
        self.settings, self.seed = pipeline.config.train, pipeline.config.seed
        pipeline.refuse_objects()  # now, and not at the first checkpoint
        memory.keep_freed()
        self.engine = Engine(self.settings, self.folder)
        self._found = ranks.from_main(lambda: checkpoint.steps_in(self.folder))
        last = ranks.from_main(partial(self._claim, resume))
        pipeline.to(self.engine.device)
        self.stage: Stage = pipeline.stage()
        self.model = self.engine.prepared(self.stage)
        self.optimization = Optimization(
            self.stage,
            pipeline.parts["optimizer"],
            pipeline.parts["schedule"],
            self.settings.gradient_clip,
            self.engine.accelerator.scaler,
        )
        self.vitals = Vitals(self.optimization, self.settings.batch_size)
        self.step, self.watch = 0, Watch()
        if last is not None:
            self._resume(last)

    # -- setting up --------------------------------------------------------------------------------------------------

    def _claim(self, resume: bool) -> int | None:
        """The step to resume from, or None. A fresh run must not lie over another one."""
        if resume:
            return checkpoint.newest(self.folder)
        if self._found:
            raise TrainingError(
                f"{self.folder} already holds a run: go on with it by --resume, or name another folder with --output."
            )
        return None

    def _resume(self, step: int) -> None:
        like = {"nets": self.stage.nets.state_dict(), **self.optimization.parameters}
        states, facts = checkpoint.load(self.folder, step, like)
        checkpoint.load_nets(self.stage.nets, states["nets"], self.folder)
        self.optimization.load_state(states, facts)
        self.vitals.flops = facts["flops"]
        self.step, self.watch = step, Watch(facts["seconds"], facts["pending"])

    # -- running -----------------------------------------------------------------------------------------------------

    def train(self) -> Pipeline:
        """Runs to the last step and returns the finished pipeline, which then also lies in the run's folder.

        Raises Interrupted, with a checkpoint, after Ctrl-C or SIGTERM; TrainingError at a loss that is no number, or
        where the disk is full.
        """
        with full_disk(self.folder), ExitStack() as stack:
            ranks.from_main(lambda: self._begin(stack))
            self.engine.trackers.start(self.pipeline.config, self.folder, self.step)
            stack.callback(self.engine.trackers.close)
            self._steps()
        return self.stage.finish()

    def first_step(self) -> tuple[Batch, Mapping[str, float]]:
        """Takes one step and writes nothing: for a dry run. The batch, and the scalars that would be logged.

        Raises TrainingError at a loss that is no number.
        """
        batch = next(self._batches())
        self._one_step(batch)
        return batch, self.watch.summary()

    def _begin(self, stack: ExitStack) -> None:
        """Takes the run's folder, for this run alone, and clears what a killed one left."""
        stack.enter_context(alone(self.folder))
        if checkpoint.steps_in(self.folder) != self._found:
            raise TrainingError(f"Another run worked in {self.folder} while this one was set up: start this one again.")
        stack.enter_context(failure.noted(self.folder, lambda: self.step, but=Interrupted))
        outputs.tidy(self)
        storage.write_text(self.folder / CONFIG, yaml_files.dump(self.pipeline.config.as_dict()))
        journal.cut_after(self.folder, self.step)

    def _steps(self) -> None:
        agreed = ranks.Agreement()
        with stop_request() as stop:
            for batch in islice(self._batches(), self.settings.steps - self.step):
                self._one_step(batch)
                self._afterwards()
                if agreed(bool(stop)) and self.step < self.settings.steps:
                    outputs.save(self)
                    raise Interrupted(
                        f"Stopped at step {self.step} of {self.settings.steps}, with a checkpoint in {self.folder}:"
                        " go on with --resume."
                    )

    def _batches(self) -> Iterator[Batch]:
        task, settings = self.pipeline.task, self.settings
        if settings.latents is not None:
            options = {"seed": self.seed, "start": self.step, "workers": settings.workers}
            return prepared.batches(Path(settings.latents), self.pipeline.parts, settings.batch_size, **options)
        if settings.cache_latents:
            split = task.once("train", ENCODING_BATCH, workers=settings.workers)
            return cache.loader(
                cache.encode_all(split, self._prepared), settings.batch_size, seed=self.seed, start=self.step
            )
        return iter(
            task.batches("train", settings.batch_size, seed=self.seed, start=self.step, workers=settings.workers)
        )

    def _prepared(self, batch: Batch) -> Batch:
        return self.stage.prepare(batch.to(self.engine.device))

    def _one_step(self, batch: Batch) -> None:
        measured = self._logged(self.step + 1)
        slots, phases = Share.here().of(self.settings.batch_size), self.stage.phases(self.step)
        parts = list(micro_batches(batch, slots, self.settings.accumulate))
        if len(phases) > 1:  # once for all of them
            parts = [(self._prepared(part), places) for part, places in parts]
        torch.manual_seed(key(self.seed, "step", self.step, ranks.rank()))  # for what draws from it: a dropout
        scalars: dict[str, Tensor] = {}
        with self.vitals.counting(len(slots)):
            for phase in phases:
                found = self._one_phase(phase, parts, measured)
                scalars.update(found if phase == phases[0] else named_by_phase(found, phase))
            self.optimization.moved()
        scalars.update(self.vitals.cost() if measured else {})
        self.stage.after_step(self.step)
        self.step += 1
        self.watch.add(self.step, batch.indices, scalars, self.settings.batch_size)

    def _one_phase(self, phase: str, parts: Sequence[Part], measured: bool) -> dict[str, Tensor]:
        """Moves the phase's optimiser by the gradients of the whole batch: the next phase sees the moved weights."""
        with self.engine.strategy.unsynced(self.model):
            found = [self._backward(phase, *part, measured) for part in parts[:-1]]
        scalars = means([*found, self._backward(phase, *parts[-1], measured)])
        with self.vitals.moving(phase, measured) as vitals:
            moved = self.optimization.move(phase, self.step)
        return {**scalars, **moved, **vitals}

    def _backward(self, phase: str, batch: Batch, slots: range, measured: bool) -> dict[str, Tensor]:
        """Adds the gradients of a part of the batch to what lies there; its scalars."""
        batch = self._prepared(batch)
        rng = (Noted if measured else Draws)(self.seed, slots, step=self.step, device=self.engine.device)
        losses = self.model(phase, batch, rng)
        self.engine.accelerator.backward(losses.total / self.settings.accumulate)
        drawn = self.vitals.of_batch(batch, rng.drawn) if isinstance(rng, Noted) else {}
        return {"loss": losses.total.detach(), **losses.parts, **drawn}

    def _afterwards(self) -> None:
        settings, last = self.settings, self.step == self.settings.steps
        if self._logged(self.step):
            outputs.log(self)
        if _due(self.step, settings.sample_every) or last:
            outputs.draw(self)
        outputs.keep(self)
        if _due(self.step, settings.checkpoint_every) or last:
            outputs.save(self)

    def _logged(self, step: int) -> bool:
        return step % self.settings.log_every == 0 or step == self.settings.steps


def _due(step: int, period: int) -> bool:
    return bool(period) and step % period == 0
