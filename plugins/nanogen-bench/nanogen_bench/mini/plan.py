"""A plan of many runs: one base configuration, and a short overlay for each method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen, validators

from nanogen_bench.mini.folders import braces
from nanogen_core.config import combine, packaged
from nanogen_core.config_layers import over
from nanogen_core.errors import ConfigError, UnknownName, listing, near_miss
from nanogen_core.registry import registry
from nanogen_core.validators import at_least, count, seed_number
from nanogen_files import yaml_files
from nanogen_files.names import check_name
from nanogen_files.structure import structure

RESERVED = ("prepared", "logs")  # folders beside those of the tasks


@frozen(kw_only=True)
class Variant:
    """One method: `config` lies over the base. `family` groups methods that are not independent of each other."""

    summary: str
    family: str
    config: Mapping[str, Any] = field(factory=dict)

    @property
    def needs(self) -> list[str]:
        """The prepared runs that it names in braces: `"{decoder}/decoder.safetensors"`."""
        return list(dict.fromkeys(braces(self.config)))


@frozen(kw_only=True)
class Prepared:
    """A run that methods need first, and that is no method itself. It is made once, on one task, and serves both: or
    the two would differ in more than the task. `statistics` is the file in its folder that gets the statistics of its
    latents."""

    summary: str
    task: str
    steps: int = field(validator=count)
    config: Mapping[str, Any] = field(factory=dict)
    statistics: str | None = None


@frozen(kw_only=True)
class ExperimentPlan:
    """The experiment. Every method is trained for `steps` on each of the two `tasks` with each of the `seeds`, and
    judged by `judged` pictures.

    `x` and `y` are the columns to correlate: of the first and of the second task. `quick` is laid over the plan by
    `--quick`.
    """

    tasks: tuple[str, ...] = field(validator=[validators.min_len(2), validators.max_len(2)])
    seeds: tuple[int, ...] = field(validator=[validators.min_len(1), validators.deep_iterable(seed_number)])
    steps: int = field(validator=count)
    judged: int = field(validator=at_least(2))
    base: Mapping[str, Any]
    methods: Mapping[str, Variant] = field(validator=validators.min_len(1))
    x: tuple[str, ...]
    y: tuple[str, ...]
    prepared: Mapping[str, Prepared] = field(factory=dict)
    quick: Mapping[str, Any] = field(factory=dict)

    def chosen(self, names: tuple[str, ...]) -> list[str]:
        """These methods, or all where none is named, in the plan's order. Raises UnknownName."""
        for name in names:
            if name not in self.methods:
                near = near_miss(name, self.methods)
                raise UnknownName(f"The plan has no method {name!r}.{near} It has: {listing(self.methods)}.")
        return [name for name in self.methods if not names or name in names]


def find(place: str) -> Path:
    """A plan's file, or the plan of this name that a plugin ships. Raises ConfigError."""
    if Path(place).is_file():
        return Path(place)
    plans = registry().plans
    if place not in plans:
        raise ConfigError(
            f"There is neither a file nor a plan {place!r}.{near_miss(place, plans)} Plans of the installed plugins:"
            f" {listing(plans)}."
        )
    return packaged(plans[place])


def read(file: Path, *, quick: bool = False) -> dict[str, Any]:
    """The plan as plain values, with its `quick` part laid over the rest if asked. Raises ConfigError."""
    raw = yaml_files.read(file)
    shorter = raw.pop("quick", {})
    return dict(over(raw, shorter)) if quick and isinstance(shorter, Mapping) else raw


def checked(raw: Mapping[str, Any]) -> ExperimentPlan:
    """The plan of plain values. Raises ConfigError: every name is to become a folder, and a method may only need what
    `prepared` has."""
    plan = structure(raw, ExperimentPlan, "plan")
    for name in (*plan.methods, *plan.prepared):
        check_name(name, "plan.methods" if name in plan.methods else "plan.prepared")
    for task in plan.tasks:
        if check_name(task, "plan.tasks") in RESERVED:
            raise ConfigError(f"plan.tasks: {task!r} is the name of another folder of an experiment.")
    for name, prepared in plan.prepared.items():
        if prepared.statistics is not None:
            check_name(prepared.statistics, f"plan.prepared.{name}.statistics")
    for name, variant in plan.methods.items():
        for need in variant.needs:
            if need not in plan.prepared:
                known = listing(plan.prepared)
                raise ConfigError(f"plan.methods.{name}: {need!r} is not among the prepared runs: {known}.")
    return plan


def configuration(
    plan: ExperimentPlan, overlay: Mapping[str, Any], *, task: str, seed: int, steps: int
) -> dict[str, Any]:
    """The configuration of one run, its length and its schedule included."""
    own = {"task": task, "seed": seed, **lengths(steps)}
    return combine(plan.base, overlay, own)


def lengths(steps: int) -> dict[str, Any]:
    """What follows from the number of steps: the learning rate rises for a thirtieth of them, stays, and falls over
    the last third."""
    schedule = {"warmup_steps": round(steps / 30), "constant_steps": round(steps * 2 / 3), "end_step": steps}
    return {"train": {"steps": steps, "checkpoint_every": max(1, steps // 4)}, "schedule": schedule}
