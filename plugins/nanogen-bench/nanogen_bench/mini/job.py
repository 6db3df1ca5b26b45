"""One run of a plan: what it is asked, and whether it has answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_bench.mini import folders
from nanogen_bench.mini.plan import ExperimentPlan, configuration
from nanogen_core.errors import DataError
from nanogen_files import storage

PREPARED = "prepared"  # the folder of the runs that others need


@frozen(kw_only=True)
class Job:
    """A method, or something prepared (then `judged` is 0), on one task with one seed. `after` are the prepared runs
    that it needs, by name. `question` is the configuration with their names in braces in place of their folders."""

    name: str
    task: str
    seed: int
    config: Mapping[str, Any]
    question: Mapping[str, Any]
    folder: Path
    judged: int = 0
    statistics: str | None = None
    after: Mapping[str, Job] = {}

    @property
    def title(self) -> str:
        return f"{self.task} {self.name}" + (f" seed {self.seed}" if self.judged else "")

    @property
    def training(self) -> dict[str, Any]:
        """All that its weights depend on, as plain values, wherever the experiment lies."""
        return {"config": dict(self.question), "after": {name: job.training for name, job in self.after.items()}}

    @property
    def asked(self) -> dict[str, Any]:
        """All that its scores depend on."""
        return {"training": self.training, "judged": self.judged, "statistics": self.statistics}

    @property
    def result(self) -> dict[str, Any] | None:
        """What it wrote when it was finished, if it was asked the same, and if that is whole."""
        try:
            return self._answer()
        except DataError:
            return None

    @property
    def damage(self) -> str | None:
        """What is wrong with the files of a run that was finished; then it is left as it is."""
        try:
            self._answer()
        except DataError as error:
            return str(error)
        return None

    def _answer(self) -> dict[str, Any] | None:
        found = folders.answer(self.folder, self.asked)
        scores = {} if found is None else found.get("scores")
        if not isinstance(scores, dict) or not all(type(value) in (int, float) for value in scores.values()):
            raise DataError(f"{self.folder / folders.RESULT} is damaged: it has no scores.")
        return found

    @property
    def error(self) -> str | None:
        """Why it failed, if it did."""
        file = self.folder / folders.FAILURE
        if self.result is not None or not file.is_file():
            return self.damage
        try:
            return str(storage.read_json(file)["error"])
        except (DataError, KeyError, TypeError):
            return f"{file} is damaged."


def jobs(plan: ExperimentPlan, output: Path, names: list[str]) -> list[Job]:
    """Every run of these methods, what they need first; the tasks and methods of one seed before the next seed."""
    needed = {need for name in names for need in plan.methods[name].needs}
    first = [_prepared(plan, output, name) for name in plan.prepared if name in needed]
    return [*first, *_methods(plan, output, names)]


def _methods(plan: ExperimentPlan, output: Path, names: list[str]) -> Iterator[Job]:
    for seed in plan.seeds:
        for name in names:
            for task in plan.tasks:
                yield _method(plan, output, task, name, seed)


def _method(plan: ExperimentPlan, output: Path, task: str, name: str, seed: int) -> Job:
    variant = plan.methods[name]
    question = configuration(plan, variant.config, task=task, seed=seed, steps=plan.steps)
    return Job(
        name=name,
        task=task,
        seed=seed,
        config=folders.filled(question, lambda need: str(output / PREPARED / need)),
        question=question,
        folder=output / task / name / f"seed-{seed}",
        judged=plan.judged,
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
        question=config,
        folder=output / PREPARED / name,
        statistics=prepared.statistics,
    )
