"""Runs of a plan: configuration, folder, and result if finished."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_bench.mini import folders
from nanogen_bench.mini.plan import NONE, PERTURBED, ExperimentPlan, configuration, perturbed
from nanogen_core.errors import ConfigWarning, DataError
from nanogen_files import storage

PREPARED = "prepared"  # folder of the prepared runs


@frozen(kw_only=True)
class Job:
    """Run of a method, or a prepared run, on one task with one seed.

    Attributes:
        name: Name of the method or prepared run.
        task: Name of the task.
        seed: Training seed.
        config: Configuration of the run.
        template: As `config`, but with `{name}` in place of the folder of a prepared run.
        folder: Folder of the run.
        eval_samples: Number of samples for the scores; 0 for a prepared run.
        statistics: Name of a file in `folder`, for the latent statistics of a prepared run. None: they are not written.
        after: Prepared runs that must finish first, by name.
        perturbation: Name of the perturbation; `NONE` without one.
    """

    name: str
    task: str
    seed: int
    config: Mapping[str, Any]
    template: Mapping[str, Any]
    folder: Path
    eval_samples: int = 0
    statistics: str | None = None
    after: Mapping[str, Job] = {}
    perturbation: str = NONE

    @property
    def title(self) -> str:
        """Name for messages, such as `t2i rae seed 0 lr-half`."""
        seed = f" seed {self.seed}" if self.eval_samples else ""
        return f"{self.task} {self.name}{seed}" + ("" if self.perturbation == NONE else f" {self.perturbation}")

    @property
    def training(self) -> dict[str, Any]:
        """JSON values that determine the weights. They do not depend on the output folder."""
        return {"config": dict(self.template), "after": {name: job.training for name, job in self.after.items()}}

    @property
    def request(self) -> dict[str, Any]:
        """JSON values that determine the scores."""
        return {"training": self.training, "eval_samples": self.eval_samples, "statistics": self.statistics}

    @property
    def result(self) -> dict[str, Any] | None:
        """Result of the finished run; None if it is unfinished, damaged, or has another request."""
        try:
            return self._read_result()
        except DataError:
            return None

    @property
    def damage(self) -> str | None:
        """Error message about a damaged result file; None otherwise. A damaged run is not repeated."""
        try:
            self._read_result()
        except DataError as error:
            return str(error)
        return None

    def _read_result(self) -> dict[str, Any] | None:
        found = folders.finished_result(self.folder, self.request)
        scores = {} if found is None else found.get("scores")
        if not isinstance(scores, dict) or not all(type(value) in (int, float) for value in scores.values()):
            raise DataError(
                f"{self.folder / folders.RESULT} is damaged: its scores must be numbers. Move {self.folder} away, and"
                " the same command repeats the run."
            )
        return found

    @property
    def error(self) -> str | None:
        """Error message of a failed or damaged run; None otherwise."""
        file = self.folder / folders.FAILURE
        if self.result is not None or not file.is_file():
            return self.damage
        try:
            return str(storage.read_json(file)["error"])
        except (DataError, KeyError, TypeError):
            return f"{file} is damaged. Delete it, and the same command repeats the run."


def jobs(plan: ExperimentPlan, output: Path, names: list[str]) -> list[Job]:
    """Return the runs of the given methods and the prepared runs that they need, in the order in which they run.

    Args:
        plan: The plan.
        output: Output folder.
        names: Names of the methods.

    Returns:
        Prepared runs that the methods need, then all runs of the first seed, of the second, and so on.
    """
    needed = {need for name in names for need in plan.methods[name].needs}
    first = [_prepared(plan, output, name) for name in plan.prepared if name in needed]
    return [*first, *_methods(plan, output, names)]


def every_job(plan: ExperimentPlan, output: Path) -> list[Job]:
    """Return the runs of all methods as `jobs` does, without notes on their configurations.

    A command may run only some of the methods. `jobs` notes the configurations of those.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return jobs(plan, output, list(plan.methods))


def _methods(plan: ExperimentPlan, output: Path, names: list[str]) -> Iterator[Job]:
    for seed in plan.seeds:
        for perturbation, changed in {NONE: plan, **perturbed(plan)}.items():
            for name in names:
                for task in plan.tasks:
                    yield _method(changed, output, task, name, seed, perturbation)


def _method(plan: ExperimentPlan, output: Path, task: str, name: str, seed: int, perturbation: str) -> Job:
    variant = plan.methods[name]
    home = output if perturbation == NONE else output / PERTURBED / perturbation
    template = configuration(plan, variant.config, task=task, seed=seed, steps=plan.steps, recipe=variant.recipe)
    return Job(
        name=name,
        task=task,
        seed=seed,
        config=folders.filled(template, lambda need: str(output / PREPARED / need)),
        template=template,
        folder=home / task / name / f"seed-{seed}",
        perturbation=perturbation,
        eval_samples=plan.eval_samples,
        after={need: _prepared(plan, output, need) for need in variant.needs},
    )


def _prepared(plan: ExperimentPlan, output: Path, name: str) -> Job:
    prepared = plan.prepared[name]
    config = configuration(plan, prepared.config, task=prepared.task, seed=0, steps=prepared.steps)
    return Job(
        name=name,
        task=prepared.task,
        seed=0,
        config=config,
        template=config,
        folder=output / PREPARED / name,
        statistics=prepared.statistics,
    )
