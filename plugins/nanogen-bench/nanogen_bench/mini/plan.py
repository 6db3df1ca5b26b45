"""Plan of an experiment: a base configuration, and an overlay for each method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen, validators

from nanogen_bench.mini.folders import braces
from nanogen_core.config import combine, packaged
from nanogen_core.config_layers import over
from nanogen_core.errors import ConfigError, UnknownName, listing, near_miss, shown
from nanogen_core.registry import registry
from nanogen_core.validators import at_least, count, seed_number
from nanogen_files import yaml_files
from nanogen_files.names import check_name
from nanogen_files.structure import structure

NONE = "none"  # name of the unperturbed trainings
PERTURBED = "perturbed"  # folder of the runs with a perturbation
RESERVED = ("prepared", "logs", PERTURBED)  # other folders of an experiment; no task may have such a name


@frozen(kw_only=True)
class Variant:
    """One method.

    Attributes:
        summary: Description for the report.
        family: Group of related methods. Methods of a group are not independent of each other.
        recipe: Recipe or configuration file that the base overrides. None: only the base.
        config: Configuration that overrides the base.
    """

    summary: str
    family: str
    recipe: str | None = None
    config: Mapping[str, Any] = field(factory=dict)

    @property
    def needs(self) -> list[str]:
        """Names of the prepared runs in `config`, such as `decoder` in `"{decoder}/decoder.safetensors"`."""
        return list(dict.fromkeys(braces(self.config)))


@frozen(kw_only=True)
class Prepared:
    """A run that makes files for methods, such as training a decoder.

    It runs once, on one task. A method uses the same files on both tasks, so its runs differ only in the task.

    Attributes:
        summary: Description.
        task: Name of the task to train on.
        steps: Number of training steps.
        config: Configuration that overrides the base.
        statistics: Name of a file in the run's folder, for the latent statistics. None: they are not written.
    """

    summary: str
    task: str
    steps: int = field(validator=count)
    config: Mapping[str, Any] = field(factory=dict)
    statistics: str | None = None


@frozen(kw_only=True)
class ExperimentPlan:
    """Plan of an experiment. Every method is trained on both tasks with every seed.

    Attributes:
        tasks: Names of the two tasks.
        seeds: Training seeds.
        steps: Training steps of each run of a method. None: the method's configuration sets them.
        eval_samples: Number of samples for the scores of each run. A metric with its own
            prompts gets one sample per prompt, at most this number.
        base: Configuration that all runs share.
        methods: The methods by name.
        x: Score columns of the first task. Each is correlated with each of `y`.
        y: Score columns of the second task.
        prepared: Runs that make files for methods, by name.
        perturbations: Changes of the base configuration, by name. Every method is trained again with each change.
        quick: Changes of the plan for `--quick`.
    """

    tasks: tuple[str, ...] = field(validator=[validators.min_len(2), validators.max_len(2)])
    seeds: tuple[int, ...] = field(validator=[validators.min_len(1), validators.deep_iterable(seed_number)])
    steps: int | None = field(validator=validators.optional(count))
    eval_samples: int = field(validator=at_least(2))
    base: Mapping[str, Any]
    methods: Mapping[str, Variant] = field(validator=validators.min_len(1))
    x: tuple[str, ...]
    y: tuple[str, ...]
    prepared: Mapping[str, Prepared] = field(factory=dict)
    perturbations: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    quick: Mapping[str, Any] = field(factory=dict)

    def chosen(self, names: tuple[str, ...]) -> list[str]:
        """Return the given methods in the plan's order; all if none is given.

        Raises:
            UnknownName: The plan lacks one of the methods.
        """
        for name in names:
            if name not in self.methods:
                near = near_miss(name, self.methods)
                raise UnknownName(f"The plan has no method {name!r}.{near} Its methods: {listing(self.methods)}.")
        return [name for name in self.methods if not names or name in names]


def perturbed(plan: ExperimentPlan) -> dict[str, ExperimentPlan]:
    """Return the plan of each perturbation: the same methods and seeds on a changed base configuration."""
    return {
        name: evolve(plan, base=over(plan.base, overlay), perturbations={})
        for name, overlay in plan.perturbations.items()
    }


def find(place: str) -> Path:
    """Return the path of a plan. Raises ConfigError if `place` is neither a file nor the name of a plugin's plan."""
    if Path(place).is_file():
        return Path(place)
    plans = registry().plans
    if place not in plans:
        raise ConfigError(
            f"{place!r} is neither a file nor the name of a plan.{near_miss(place, plans)} Plans of the installed"
            f" plugins: {listing(plans)}."
        )
    return packaged(plans[place])


def read(file: Path, *, quick: bool = False) -> dict[str, Any]:
    """Read a plan from a YAML file as a dict. Only the section `quick` is checked.

    Args:
        file: The YAML file.
        quick: Merge the plan's section `quick` over its other keys.

    Raises:
        ConfigError: The file is not valid YAML, or its section `quick` is not a mapping.
    """
    raw = yaml_files.read(file)
    shorter = raw.pop("quick", {})
    if not isinstance(shorter, Mapping):
        raise ConfigError(f"{file}: `quick` must be a mapping of changed keys, got {shown(shorter)}. Correct it.")
    return dict(over(raw, shorter)) if quick else raw


def checked(raw: Mapping[str, Any]) -> ExperimentPlan:
    """Convert plain values into a plan.

    Raises:
        ConfigError: A value is wrong, a name is reserved or not a valid folder name, or a method needs an unknown
            prepared run.
    """
    plan = structure(raw, ExperimentPlan, "plan")
    for key in ("methods", "prepared", "perturbations"):
        for name in getattr(plan, key):
            check_name(name, f"plan.{key}")
    if NONE in plan.perturbations:
        raise ConfigError(f"plan.perturbations: {NONE!r} means the unperturbed trainings: choose another name.")
    for task in plan.tasks:
        if check_name(task, "plan.tasks") in RESERVED:
            raise ConfigError(f"plan.tasks: {task!r} is reserved for another folder: choose another name.")
    for name, prepared in plan.prepared.items():
        if prepared.statistics is not None:
            check_name(prepared.statistics, f"plan.prepared.{name}.statistics")
    for name, variant in plan.methods.items():
        for need in variant.needs:
            if need not in plan.prepared:
                known = listing(plan.prepared)
                raise ConfigError(
                    f"plan.methods.{name}: there is no prepared run {need!r}. Prepared runs: {known}. Correct the name"
                    " in braces, or add the run to `prepared`."
                )
    return plan


def configuration(
    plan: ExperimentPlan,
    overlay: Mapping[str, Any],
    *,
    task: str,
    seed: int,
    steps: int | None,
    recipe: str | None = None,
) -> dict[str, Any]:
    """Return the configuration of one run.

    Args:
        plan: Provides the base configuration.
        overlay: Configuration that overrides the base.
        task: Name of the task.
        seed: Training seed.
        steps: Number of training steps. They also determine the learning-rate schedule, see `lengths`. None leaves
            both as configured.
        recipe: Recipe or configuration file that the base overrides. None: only the base.
    """
    own = {"task": task, "seed": seed, **({} if steps is None else lengths(steps))}
    return combine(recipe, plan.base, overlay, own)


def lengths(steps: int) -> dict[str, Any]:
    """Return the options that depend on the number of steps.

    The learning rate warms up over the first thirtieth of the steps, is constant, and decays over the last third.
    Checkpoints are saved every quarter of the steps.
    """
    schedule = {"warmup_steps": round(steps / 30), "constant_steps": round(steps * 2 / 3), "end_step": steps}
    return {"train": {"steps": steps, "checkpoint_every": max(1, steps // 4)}, "schedule": schedule}
