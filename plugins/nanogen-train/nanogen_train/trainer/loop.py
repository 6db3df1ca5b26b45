"""The one loop: runs any stage, logs, draws, saves, resumes, and stops without losing anything."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core import malloc
from nanogen_core.config import CONFIG
from nanogen_core.errors import TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG, key
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard
from nanogen_data.precomputed import training as prepared
from nanogen_files import storage, yaml_files
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import processes
from nanogen_train.logging import metrics_log
from nanogen_train.logging.metrics import Watch
from nanogen_train.logging.statistics import RecordingRNG, StepStatistics
from nanogen_train.optim.optimization import Optimization
from nanogen_train.settings import TrainConfig
from nanogen_train.stages.build import stage_of
from nanogen_train.trainer import cache, outputs, record, run_folder
from nanogen_train.trainer import failure_report as failure
from nanogen_train.trainer.batches import Stopped, WorkerLost, watched
from nanogen_train.trainer.engine import Engine
from nanogen_train.trainer.outputs import report_full_disk
from nanogen_train.trainer.run_lock import run_lock
from nanogen_train.trainer.signals import stop_request
from nanogen_train.trainer.step import Part, means, micro_batches, named_by_phase
from nanogen_train.trainer.untrained import refuse_untrained

Report = Callable[[int, Mapping[str, float]], None]  # step, scalars of the last log line: for a progress bar
ENCODING_BATCH = 256
log = logging.getLogger(__name__)


class Interrupted(TrainingError):
    """The run was asked to stop, and left a checkpoint."""

    exit_code = 130  # what a shell calls a program that Ctrl-C ended


class Run:
    """One training run in one folder. `train()` takes it to its last step. Every process of a run has one."""

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        restart: bool = False,
        report: Report | None = None,
    ):
        """`resume` goes on from the newest checkpoint. `overwrite` moves what the folder holds aside. `restart` begins
        anew in a folder whose run has no checkpoint yet."""
        self.pipeline, self.folder, self.report = pipeline, Path(folder), report or (lambda step, scalars: None)
        self.settings: TrainConfig = pipeline.config.sections["train"]
        self.seed = pipeline.config.seed
        malloc.keep_freed()
        self.engine = Engine(self.settings, self.folder)
        if overwrite:
            processes.from_main(self._move_aside)
        self._found = processes.from_main(lambda: checkpoint.steps_in(self.folder))
        last = processes.from_main(partial(self._claim, resume, restart))
        self.record = processes.from_main(partial(self._recorded, last))
        pipeline.to(self.engine.device)
        self.stage = stage_of(pipeline)
        self.model = self.engine.prepared(self.stage)
        self.optimization = Optimization(
            self.stage,
            pipeline.parts["optimizer"],
            pipeline.parts["schedule"],
            self.settings.gradient_clip,
            self.engine.accelerator.scaler,
        )
        refuse_untrained(pipeline.parts.built(), self.optimization.trained())
        self.statistics = StepStatistics(self.optimization, self.settings.batch_size)
        self.step, self.watch = 0, Watch()
        if last is not None:
            self._resume(last)

    # -- setting up --------------------------------------------------------------------------------------------------

    def _move_aside(self) -> None:
        moved = run_folder.move_aside(self.folder)
        if moved is not None:
            log.warning("What %s held is now in %s.", self.folder, moved)

    def _claim(self, resume: bool, restart: bool) -> int | None:
        """The step to resume from, or None. A new run must not write over another run or a pipeline."""
        if resume:
            return checkpoint.newest(self.folder)
        if not restart or self._found:
            run_folder.refuse_occupied(self.folder)
        return None

    def _recorded(self, last: int | None) -> dict[str, Any]:
        """What `run.json` is to say. Raises TrainingError for a resume with another configuration or other data."""
        parts, precision = self.pipeline.parts, self.engine.precision
        return record.begun(parts, precision) if last is None else record.resumed(self.folder, parts, last, precision)

    def _resume(self, step: int) -> None:
        like = {"nets": self.stage.nets.state_dict(), **self.optimization.parameters}
        states, facts = checkpoint.load(self.folder, step, like)
        checkpoint.load_nets(self.stage.nets, states["nets"], self.folder)
        self.optimization.load_state(states, facts)
        self.statistics.flops = facts["flops"]
        self.step, self.watch = step, Watch(facts["seconds"], facts["pending"])

    # -- running -----------------------------------------------------------------------------------------------------

    def train(self) -> Pipeline:
        """Runs to the last step and returns the finished pipeline, which then also lies in the run's folder.

        Raises Interrupted, with a checkpoint, after Ctrl-C or SIGTERM; TrainingError at a loss that is no number, or
        where the disk is full.
        """
        with report_full_disk(self.folder), ExitStack() as stack:
            processes.from_main(lambda: self._begin(stack))
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
        stack.enter_context(run_lock(self.folder))
        if checkpoint.steps_in(self.folder) != self._found:
            raise TrainingError(f"Another run worked in {self.folder} while this one was set up: start this one again.")
        stack.enter_context(failure.noted(self.folder, lambda: self.step, but=Interrupted))
        outputs.tidy(self)
        config = self.pipeline.config.as_dict()
        if self.step:
            record.keep_config(self.folder, config, self.step)
        storage.write_json(self.folder / run_folder.RECORD, self.record)
        storage.write_text(self.folder / CONFIG, yaml_files.dump(config))
        metrics_log.cut_after(self.folder, self.step)

    def _steps(self) -> None:
        if self.step and self._due_sheet() and not outputs.sheet_of(self).exists():
            outputs.draw(self)  # the run was stopped between this step's checkpoint and its sheet
        agreed = processes.Agreement()
        with (
            stop_request() as stop,
            watched(self._batches(), stop.__bool__, num_workers=self.settings.num_workers) as batches,
        ):
            try:
                for batch in islice(batches, self.settings.steps - self.step):
                    self._one_step(batch)
                    self._afterwards()
                    if agreed(bool(stop)) and self.step < self.settings.steps:
                        self._interrupt()
            except Stopped:
                self._interrupt(together=False)
            except WorkerLost as error:
                saved = self._saved(together=False)
                raise TrainingError(
                    f"A process that reads data ended ({error}), perhaps because memory ran out. {saved} Lower"
                    " train.num_workers if it happens again."
                ) from error

    def _interrupt(self, *, together: bool = True) -> None:
        """Raises Interrupted, after a checkpoint."""
        raise Interrupted(f"Stopped at step {self.step} of {self.settings.steps}. {self._saved(together=together)}")

    def _saved(self, *, together: bool) -> str:
        """Saves a checkpoint and says from which step the run resumes. All processes save `together`, or none does."""
        if self.step and (together or processes.world() == 1) and self.step not in checkpoint.steps_in(self.folder):
            outputs.save(self)
        steps = checkpoint.steps_in(self.folder)
        if not steps:
            return f"{self.folder} holds no checkpoint yet: start again with --overwrite."
        return f"{self.folder} holds the checkpoint of step {steps[-1]}: resume with --resume."

    def _batches(self) -> Iterator[Batch]:
        task, settings = self.pipeline.task, self.settings
        if settings.precomputed_latents is not None:
            options = {"seed": self.seed, "start": self.step, "num_workers": settings.num_workers}
            return prepared.batches(
                Path(settings.precomputed_latents), self.pipeline.parts, settings.batch_size, **options
            )
        if settings.cache_latents:
            split = task.iter_once("train", ENCODING_BATCH, num_workers=settings.num_workers)
            return cache.loader(
                cache.encode_all(split, self._prepared), settings.batch_size, seed=self.seed, start=self.step
            )
        return iter(
            task.batches(
                "train", settings.batch_size, seed=self.seed, start=self.step, num_workers=settings.num_workers
            )
        )

    def _prepared(self, batch: Batch) -> Batch:
        return self.stage.prepare(batch.to(self.engine.device))

    def _one_step(self, batch: Batch) -> None:
        measured = self._logged(self.step + 1)
        slots, phases = DataShard.here().of(self.settings.batch_size), self.stage.phases(self.step)
        parts = list(micro_batches(batch, slots, self.settings.grad_accum_steps))
        if len(phases) > 1:  # once for all of them
            parts = [(self._prepared(part), places) for part, places in parts]
        torch.manual_seed(key(self.seed, "step", self.step, processes.rank()))  # for what draws from it: a dropout
        scalars: dict[str, Tensor] = {}
        with self.statistics.counting(len(slots)):
            for phase in phases:
                found = self._one_phase(phase, parts, measured)
                scalars.update(found if phase == phases[0] else named_by_phase(found, phase))
            self.optimization.moved()
        scalars.update(self.statistics.cost() if measured else {})
        self.stage.after_step(self.step)
        self.step += 1
        self.watch.add(self.step, batch.indices, scalars, self.settings.batch_size)

    def _one_phase(self, phase: str, parts: Sequence[Part], measured: bool) -> dict[str, Tensor]:
        """Moves the phase's optimiser by the gradients of the whole batch: the next phase sees the moved weights."""
        with self.engine.strategy.unsynced(self.model):
            found = [self._backward(phase, *part, measured) for part in parts[:-1]]
        scalars = means([*found, self._backward(phase, *parts[-1], measured)])
        with self.statistics.moving(phase, measured) as statistics:
            moved = self.optimization.move(phase, self.step)
        return {**scalars, **moved, **statistics}

    def _backward(self, phase: str, batch: Batch, slots: range, measured: bool) -> dict[str, Tensor]:
        """Adds the gradients of a part of the batch to what lies there; its scalars."""
        batch = self._prepared(batch)
        rng = (RecordingRNG if measured else KeyedRNG)(self.seed, slots, step=self.step, device=self.engine.device)
        losses = self.model(phase, batch, rng)
        self.engine.accelerator.backward(losses.total / self.settings.grad_accum_steps)
        drawn = self.statistics.of_batch(batch, rng.drawn) if isinstance(rng, RecordingRNG) else {}
        return {"loss": losses.total.detach(), **losses.parts, **drawn}

    def _afterwards(self) -> None:
        """The checkpoint comes before the sheet: nothing that goes wrong in a sheet costs a step."""
        settings, last = self.settings, self.step == self.settings.steps
        if self._logged(self.step):
            outputs.log(self)
        outputs.keep(self)
        if _due(self.step, settings.checkpoint_every) or last:
            outputs.save(self)
        if self._due_sheet():
            outputs.draw(self)

    def _due_sheet(self) -> bool:
        """`sample_every` steps have passed, or it was the last one. 0 means never."""
        period = self.settings.sample_every
        return bool(period) and (self.step % period == 0 or self.step == self.settings.steps)

    def _logged(self, step: int) -> bool:
        return step % self.settings.log_every == 0 or step == self.settings.steps


def _due(step: int, period: int) -> bool:
    return bool(period) and step % period == 0
