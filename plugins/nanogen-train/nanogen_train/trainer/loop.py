"""The training loop: runs any stage, logs, samples, saves, resumes and stops."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.config import CONFIG
from nanogen_core.errors import TrainingError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG, key
from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard
from nanogen_data.mixture import mixing_of
from nanogen_data.precomputed import training as precomputed
from nanogen_files import malloc, storage, yaml_files
from nanogen_files.reading import user_path
from nanogen_train.adapters.adapter import Adapter
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed import processes
from nanogen_train.init.report import InitReport
from nanogen_train.init.start import fresh_auxiliaries, start_from
from nanogen_train.logging import metrics_log
from nanogen_train.logging.metrics import MetricsAccumulator
from nanogen_train.logging.statistics import RecordingRNG, StepStatistics
from nanogen_train.optim.optimization import Optimization
from nanogen_train.settings import TrainConfig
from nanogen_train.stages.build import stage_of
from nanogen_train.trainer import cache, failure_report, outputs, record, run_folder
from nanogen_train.trainer.arguments import refuse_unusable
from nanogen_train.trainer.batches import Stopped, WorkerLost, read_batches
from nanogen_train.trainer.engine import Engine
from nanogen_train.trainer.evaluation import Evaluations
from nanogen_train.trainer.image_readers import refuse_image_readers
from nanogen_train.trainer.outputs import report_full_disk
from nanogen_train.trainer.run_lock import run_lock
from nanogen_train.trainer.signals import stop_request
from nanogen_train.trainer.step import MicroBatch, TrainStep, means, micro_batches, named_by_phase
from nanogen_train.trainer.untrained import refuse_untrained

Report = Callable[[int, Mapping[str, float]], None]  # called with (step, scalars of the last log line)
ENCODING_BATCH = 256
log = logging.getLogger(__name__)


class Interrupted(TrainingError):
    """The run stopped on request. The message says how to resume or start again."""

    exit_code = 130  # shell convention for a program ended by Ctrl-C


class Run:
    """One training run in one folder. Every process of a run creates one.

    Args:
        pipeline: The pipeline to train.
        folder: Folder of the run.
        resume: Resume from the newest checkpoint.
        overwrite: Move the content of the folder aside and start a new run.
        restart: Start again in a folder whose run has no checkpoint yet.
        report: Called on the first process with the step and its scalars at every log line.

    Attributes:
        init: Report on how a new run loaded `train.init`. None without `train.init`, and for a resumed run.
        stop_requested: Whether a stop signal arrived in the last step. The run is finished, but its process should end.

    A run that stopped before its first logged step, and without a checkpoint, is replaced.

    Raises:
        TrainingError: The folder contains another run, the run cannot be resumed with this configuration, or the
            backbone does not take (state, times, condition).
        ConfigError, DataError: The weights of `train.init` are missing, damaged, or do not fit.
    """

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
        refuse_unusable(pipeline)
        self.pipeline, self.folder, self.report = pipeline, Path(folder), report or (lambda step, scalars: None)
        self.settings: TrainConfig = pipeline.config.sections["train"]
        self.seed = pipeline.config.seed
        malloc.keep_freed()
        self.engine = Engine(self.settings, self.folder)
        if overwrite:
            processes.broadcast_from_main(self._move_aside)
        self._steps_at_start = processes.broadcast_from_main(lambda: checkpoint.steps_in(self.folder))
        resume_step = processes.broadcast_from_main(partial(self._claim, resume, restart))
        self.record = processes.broadcast_from_main(partial(self._record, resume_step))
        self.init = self._start() if resume_step is None else None
        self.adapter = self._add_adapter()
        pipeline.to(self.engine.device)
        self.stage = stage_of(pipeline)
        if self.init is not None:
            self.init = self.init.noted(fresh_auxiliaries(pipeline, self.stage.nets))
            self.record["init"] = self.init.as_dict()
        self.train_step = TrainStep(self.stage)
        self.model = self.engine.wrap(self.train_step, self.stage)
        self.optimization = Optimization(
            self.stage,
            pipeline.parts["optimizer"],
            pipeline.parts["schedule"],
            self.settings.gradient_clip,
            self.engine.accelerator.scaler,
        )
        refuse_untrained(pipeline.parts.built(), self.optimization.trained())
        self.evaluations = None if self.settings.evaluate is None else Evaluations(self, self.settings.evaluate)
        self.statistics = StepStatistics(self.optimization, self.settings.batch_size)
        self.step, self.metrics, self.stop_requested = 0, MetricsAccumulator(), False
        if resume_step is not None:
            self._resume(resume_step)

    # -- setting up --------------------------------------------------------------------------------------------------

    def _move_aside(self) -> None:
        source = None if self.settings.init is None else user_path(self.settings.init).resolve()
        if source is not None and self.folder.resolve() in (source, *source.parents):
            raise TrainingError(
                f"train.init is in {self.folder}, which --overwrite would move aside: choose another --output."
            )
        moved = run_folder.move_aside(self.folder)
        if moved is not None:
            log.warning("Moved the content of %s to %s.", self.folder, moved)

    def _claim(self, resume: bool, restart: bool) -> int | None:
        """Return the step to resume from, or None for a new run. Raises TrainingError if the folder is occupied."""
        if resume:
            return checkpoint.newest(self.folder)
        if not restart and run_folder.holds_no_step(self.folder):
            log.warning("Replacing the unfinished run in %s, which logged no step.", self.folder)
        elif not restart or self._steps_at_start:
            run_folder.refuse_occupied(self.folder)
        return None

    def _record(self, resume_step: int | None) -> dict[str, Any]:
        """Return the content of `run.json`.

        Raises TrainingError for a resume with another configuration or other data.
        """
        parts, precision = self.pipeline.parts, self.engine.precision
        if resume_step is None:
            return record.new_record(parts, precision)
        return record.resumed_record(self.folder, parts, resume_step, precision)

    def _start(self) -> InitReport | None:
        """Load the weights of `train.init`, if any."""
        return None if self.settings.init is None else start_from(self.pipeline, self.settings.init)

    def _add_adapter(self) -> Adapter | None:
        """Add the layers of `train.adapter`, if any, beside the loaded weights."""
        if self.settings.adapter is None:
            return None
        adapter = Adapter(self.pipeline.backbone, self.settings, self.seed)
        if self.init is not None:
            adapter.refuse_frozen(self.init.backbone)
        return adapter

    def _resume(self, step: int) -> None:
        templates: dict[str, Mapping[str, Tensor]] = {
            "nets": checkpoint.nets_state(self.stage.nets),
            **self.optimization.parameters,
        }
        states, facts = checkpoint.load(self.folder, step, templates)
        checkpoint.load_nets(self.stage.nets, states["nets"], self.folder)
        self.optimization.load_state(states, facts)
        self.statistics.flops = facts["flops"]
        self.step, self.metrics = step, MetricsAccumulator(facts["seconds"], facts["pending"])

    # -- running -----------------------------------------------------------------------------------------------------

    def train(self) -> Pipeline:
        """Train to the last step and return the finished pipeline, which is also saved in the run folder.

        Raises:
            Interrupted: After Ctrl-C, SIGTERM or SIGHUP, usually with a checkpoint of the current step.
            TrainingError: A loss is NaN or infinite, the disk is full, or a data worker died.
        """
        with report_full_disk(self.folder), ExitStack() as stack:
            processes.broadcast_from_main(lambda: self._begin(stack))
            self.engine.trackers.start(self.pipeline.config, self.folder, self.step)
            stack.callback(self.engine.trackers.close)
            self._steps()
        return self.stage.finish()

    def first_step(self) -> tuple[Batch, Mapping[str, float]]:
        """Take one step without writing files, for a dry run.

        Returns:
            The batch, and the scalars that would be logged.

        Raises:
            TrainingError: A loss is NaN or infinite.
        """
        batch = next(self._batches())
        self._one_step(batch)
        return batch, self.metrics.summary()

    def _begin(self, stack: ExitStack) -> None:
        """Lock the run folder, clean up after a killed run, and write the configuration."""
        stack.enter_context(run_lock(self.folder))
        if checkpoint.steps_in(self.folder) != self._steps_at_start:
            raise TrainingError(f"Another run used {self.folder} while this one was starting: start again.")
        stack.enter_context(failure_report.report_failure(self.folder, lambda: self.step, ignored=Interrupted))
        outputs.clean_up(self)
        config = self.pipeline.config.as_dict()
        if self.step:
            record.archive_config(self.folder, config, self.step)
        storage.write_json(self.folder / run_folder.RECORD, self.record)
        storage.write_text(self.folder / CONFIG, yaml_files.dump(config))
        metrics_log.cut_after(self.folder, self.step)

    def _steps(self) -> None:
        if self.step and self._sheet_due() and not outputs.sheet_path(self).exists():
            outputs.draw(self)  # stopped between this step's checkpoint and its sample sheet
        if self.step and self.evaluations is not None and self.evaluations.missing():
            outputs.evaluate(self, self.evaluations)
        agreement = processes.StopAgreement()
        with (
            stop_request() as stop,
            read_batches(self._batches(), stop.__bool__, num_workers=self.engine.num_workers) as batches,
        ):
            try:
                self.metrics.start_steps()
                for batch in islice(batches, self.settings.steps - self.step):
                    self._one_step(batch)
                    self._write_outputs()
                    if agreement(bool(stop)) and self.step < self.settings.steps:
                        self._interrupt()
            except Stopped:
                self._interrupt(together=False)
            except WorkerLost as error:
                saved = self._save_and_describe(together=False)
                raise TrainingError(
                    f"A data worker process died ({error}), probably because memory ran out. {saved} Lower"
                    " train.num_workers if it happens again."
                ) from error
        self.stop_requested = bool(stop)

    def _interrupt(self, *, together: bool = True) -> None:
        """Save a checkpoint and raise Interrupted."""
        raise Interrupted(
            f"Stopped at step {self.step} of {self.settings.steps}. {self._save_and_describe(together=together)}"
        )

    def _save_and_describe(self, *, together: bool) -> str:
        """Save a checkpoint and return a message with the step to resume from.

        Args:
            together: Whether all processes are at the same step. If not, only a single process can save.
        """
        if self.step and (together or processes.world() == 1) and self.step not in checkpoint.steps_in(self.folder):
            outputs.save(self)
        steps = checkpoint.steps_in(self.folder)
        if not steps:
            return f"{self.folder} contains no checkpoint yet: start again with --overwrite."
        command = f"nanogen train {shlex.quote(str(self.folder))} --resume"
        return f"Resume from the checkpoint of step {steps[-1]} with `{command}`."

    def _batches(self) -> Iterator[Batch]:
        task, settings, num_workers = self.pipeline.task, self.settings, self.engine.num_workers
        if settings.precomputed_latents is not None:
            refuse_image_readers(self.pipeline)
            options = {"seed": self.seed, "start": self.step, "num_workers": num_workers}
            return precomputed.batches(
                Path(settings.precomputed_latents), self.pipeline.parts, settings.batch_size, **options
            )
        if settings.cache_latents:
            split = task.iter_once("train", ENCODING_BATCH, num_workers=num_workers)
            return cache.loader(
                cache.encode_all(split, self._prepare_for_all_steps),
                settings.batch_size,
                seed=self.seed,
                start=self.step,
                mixing=mixing_of(task.reading("train").examples) if hasattr(task, "reading") else None,
            )
        return iter(
            task.batches("train", settings.batch_size, seed=self.seed, start=self.step, num_workers=num_workers)
        )

    def _prepare(self, batch: Batch) -> Batch:
        return self.train_step.prepare(batch.to(self.engine.device), self.step)

    def _prepare_for_all_steps(self, batch: Batch) -> Batch:
        return self.train_step.prepare(batch.to(self.engine.device), None)

    def _one_step(self, batch: Batch) -> None:
        with_statistics = self._is_log_step(self.step + 1)
        slots, phases = DataShard.here().of(self.settings.batch_size), self.stage.phases(self.step)
        parts = list(micro_batches(batch, slots, self.settings.grad_accum_steps))
        if len(phases) > 1:  # once for all phases
            parts = [(self._prepare(part), part_slots) for part, part_slots in parts]
        # for dropout and other users of the global generator
        torch.manual_seed(key(self.seed, "step", self.step, processes.rank()))
        if "torch._inductor.cudagraph_trees" in sys.modules:  # the call would import the compiler, which takes seconds
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        scalars: dict[str, Tensor] = {}
        with self.statistics.counting(len(slots)):
            for phase in phases:
                logged = self._one_phase(phase, parts, with_statistics)
                scalars.update(logged if phase == phases[0] else named_by_phase(logged, phase))
            self.optimization.end_step()
        scalars.update(self.statistics.cost() if with_statistics else {})
        self.stage.after_step(self.step)
        self.step += 1
        self.metrics.add(self.step, batch.indices, scalars, self.settings.batch_size)

    def _one_phase(self, phase: str, parts: Sequence[MicroBatch], with_statistics: bool) -> dict[str, Tensor]:
        """Update the parameters of a phase from the gradients of the whole batch."""
        with self.engine.strategy.no_sync(self.model):
            scalars = [self._backward(phase, *part, with_statistics) for part in parts[:-1]]
        scalars.append(self._backward(phase, *parts[-1], with_statistics))
        with self.statistics.of_update(phase, with_statistics) as statistics:
            gradient = self.optimization.update(phase, self.step)
        return {**means(scalars), **gradient, **statistics}

    def _backward(self, phase: str, batch: Batch, slots: range, with_statistics: bool) -> dict[str, Tensor]:
        """Add the gradients of a micro-batch, and return its scalars."""
        batch = self._prepare(batch)
        rng = (RecordingRNG if with_statistics else KeyedRNG)(
            self.seed, slots, step=self.step, device=self.engine.device
        )
        losses = self.model(phase, batch, rng)
        self.engine.accelerator.backward(losses.total / self.settings.grad_accum_steps)
        drawn = self.statistics.of_batch(batch, rng.drawn) if isinstance(rng, RecordingRNG) else {}
        return {"loss": losses.total.detach(), **losses.parts, **drawn}

    def _write_outputs(self) -> None:
        """Write the outputs that are due.

        The checkpoint comes before the sample sheet, so a failing sheet costs no step.
        """
        settings, last = self.settings, self.step == self.settings.steps
        if self._is_log_step(self.step):
            outputs.log(self)
        outputs.save_snapshots(self)
        if _due(self.step, settings.checkpoint_every) or last:
            outputs.save(self)
        if self._sheet_due():
            outputs.draw(self)
        if self.evaluations is not None and self.evaluations.due():
            outputs.evaluate(self, self.evaluations)

    def _sheet_due(self) -> bool:
        """Return whether a sample sheet is due after this step."""
        period = self.settings.sample_every
        return bool(period) and (self.step % period == 0 or self.step == self.settings.steps)

    def _is_log_step(self, step: int) -> bool:
        return step % self.settings.log_every == 0 or step == self.settings.steps


def _due(step: int, period: int) -> bool:
    return bool(period) and step % period == 0
