"""The one loop: runs any stage, logs, draws, saves, resumes, and stops without losing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from nanogen_core import storage, yaml_files
from nanogen_core.config import CONFIG
from nanogen_core.data import Share
from nanogen_core.errors import TrainingError
from nanogen_core.images import grid, to_pil
from nanogen_core.pipeline import Pipeline
from nanogen_core.prepared import training as prepared
from nanogen_core.protocols import Stage
from nanogen_core.randomness import Draws
from nanogen_core.tensors import Batch
from nanogen_core.training import cache, checkpoint, journal
from nanogen_core.training.engine import Engine
from nanogen_core.training.optimization import Optimization
from nanogen_core.training.signals import stop_request
from nanogen_core.training.step import TrainStep
from nanogen_core.training.vitals import Noted, Vitals
from nanogen_core.training.watch import Watch

Report = Callable[[int, Mapping[str, float]], None]  # step, scalars of the last log line: for a progress bar
GRID_COLUMNS = 8
ENCODING_BATCH = 256


class Interrupted(TrainingError):
    """The run was asked to stop, and left a checkpoint."""

    exit_code = 130  # what a shell calls a program that Ctrl-C ended


class Run:
    """One training run in one folder. `train()` takes it to its last step."""

    def __init__(self, pipeline: Pipeline, folder: Path, *, resume: bool = False, report: Report | None = None):
        self.pipeline, self.folder, self.report = pipeline, Path(folder), report or (lambda step, scalars: None)
        self.settings, self.seed = pipeline.config.train, pipeline.config.seed
        pipeline.refuse_objects()  # now, and not at the first checkpoint
        last = self._claim(resume)
        self.engine = Engine(self.settings, self.folder)
        pipeline.to(self.engine.device)
        self.stage: Stage = pipeline.stage()
        self.optimization = Optimization(
            self.stage, pipeline.parts["optimizer"], pipeline.parts["schedule"], self.settings.gradient_clip
        )
        self.vitals = Vitals(self.optimization, self.settings.batch_size)
        self.step, self.watch = 0, Watch()
        if last is not None:
            self._resume(last)
        self.model = self._wrapped()

    # -- setting up --------------------------------------------------------------------------------------------------

    def _claim(self, resume: bool) -> int | None:
        """The step to resume from, or None. A fresh run must not lie over another one."""
        if resume:
            return checkpoint.newest(self.folder)
        if checkpoint.steps_in(self.folder):
            raise TrainingError(
                f"{self.folder} already holds a run: go on with it by --resume, or name another folder with --output."
            )
        return None

    def _resume(self, step: int) -> None:
        states, facts = checkpoint.load(self.folder, step)
        checkpoint.load_nets(self.stage.nets, states["nets"], self.folder)
        self.optimization.load_state(states)
        self.step, self.watch = step, Watch(facts["seconds"])

    def _wrapped(self) -> TrainStep:
        if self.settings.compile:
            for net in self.stage.nets.values():
                net.compile()
        if len(self.stage.phase_names) > 1:
            self.engine.expect_idle_nets()
        model: TrainStep = self.engine.accelerator.prepare(TrainStep(self.stage))
        return model

    # -- running -----------------------------------------------------------------------------------------------------

    def train(self) -> Pipeline:
        """Runs to the last step and returns the finished pipeline, which then also lies in the run's folder.

        Raises Interrupted, with a checkpoint, after Ctrl-C or SIGTERM; TrainingError at a loss that is no number.
        """
        with self._alone():
            self.engine.start_trackers()
            try:
                self._steps()
            finally:
                self.engine.close()
        return self.stage.finish()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The run's folder, for this run alone. Raises TrainingError where another process is at work in it."""
        if not self.engine.is_main:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                storage.write_text(self.folder / CONFIG, yaml_files.dump(self.pipeline.config.as_dict()))
                journal.cut_after(self.folder, self.step)
                yield
        except Timeout as error:
            raise TrainingError(f"Another process is training into {self.folder}: name another --output.") from error

    def _steps(self) -> None:
        with stop_request() as stop:
            for batch in islice(self._batches(), self.settings.steps - self.step):
                self._one_step(batch)
                self._afterwards()
                if stop and self.step < self.settings.steps:
                    self._save()
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
        batch = self._prepared(batch)
        slots = Share.here().of(self.settings.batch_size)
        measured = self._logged(self.step + 1)
        rng = (Noted if measured else Draws)(self.seed, slots, step=self.step, device=self.engine.device)
        scalars: dict[str, Tensor] = {}
        with self.vitals.counting(len(slots)):
            for phase in self.stage.phases(self.step):
                losses = self.model(phase, batch, rng)
                self.engine.accelerator.backward(losses.total)
                with self.vitals.moving(phase, measured) as vitals:
                    moved = self.optimization.move(phase, self.step)
                scalars.update({"loss": losses.total.detach(), **losses.parts, **moved, **vitals})
        if isinstance(rng, Noted):
            scalars.update(self.vitals.of_step(batch, rng.drawn))
        self.stage.after_step(self.step)
        self.step += 1
        self.watch.add(self.step, batch.indices, scalars, self.settings.batch_size)

    # -- after a step ------------------------------------------------------------------------------------------------

    def _afterwards(self) -> None:
        settings, last = self.settings, self.step == self.settings.steps
        if self._logged(self.step):
            self._log()
        if _due(self.step, settings.sample_every) or last:
            self._draw()
        if _due(self.step, settings.checkpoint_every) or last:
            self._save()

    def _logged(self, step: int) -> bool:
        return step % self.settings.log_every == 0 or step == self.settings.steps

    def _log(self) -> None:
        rates = {f"lr.{phase}": self.optimization.rate(phase) for phase in self.stage.phases(self.step - 1)}
        scalars = {**self.watch.summary(), **rates}
        if self.engine.is_main:
            journal.append(self.folder, {"step": self.step, **scalars})
            self.engine.track(self.step, scalars)
            self.report(self.step, scalars)

    def _draw(self) -> None:
        if not self.engine.is_main:
            return
        images, captions = self.stage.samples(self.settings.sample_count)
        path = self.folder / "samples" / f"step-{self.step:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid(to_pil(images), captions, columns=GRID_COLUMNS).save(path)

    def _save(self) -> None:
        """The checkpoint, and the pipeline as it would be used now; a NaN since the last log line is found first."""
        self.watch.refuse_nan()
        if not self.engine.is_main:
            return
        states = {"nets": self.stage.nets.state_dict(), **self.optimization.state()}
        checkpoint.save(self.folder, self.step, states, {"seconds": self.watch.seconds})
        checkpoint.thin_out(self.folder, self.settings.keep)
        self.pipeline.save(self.folder, weights=self.stage.weights())


def _due(step: int, period: int) -> bool:
    return bool(period) and step % period == 0
