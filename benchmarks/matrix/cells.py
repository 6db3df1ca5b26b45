"""The cells of the matrix as data: one base configuration, and short overlays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen, validators

from nanogen_bench.mini.folders import braces, filled
from nanogen_core.config import combine
from nanogen_core.errors import ConfigError, UnknownName, listing, near_miss
from nanogen_files import yaml_files
from nanogen_files.structure import structure

FILE = Path(__file__).with_name("cells.yaml")
WARMUP, CONSTANT = 1 / 30, 2 / 3  # of the steps: the learning rate rises, stays, and falls to 0 at the end


@frozen(kw_only=True)
class Start:
    """Weights to begin from: those of another cell that have the same name and shape here.

    `rename` maps the beginning of a name there to that of one here. Where names here begin like one of `zero`, zeros.
    """

    cell: str
    rename: Mapping[str, str] = field(factory=dict)
    zero: tuple[str, ...] = ()


@frozen(kw_only=True)
class Cell:
    """One method. `config` lies over the base.

    `judge` are the numbers of sampling steps to score; `logged` are scalars of the log that are scores (of a cell that
    prepares another one, and draws nothing by itself). `cost` is that of a training step in steps of the plain cell.
    `statistics` is the file in the cell's folder that gets the statistics of its latents, for other cells.
    """

    summary: str
    steps: int = field(validator=validators.ge(1))
    cost: float = 1.0
    judge: tuple[int, ...] = ()
    logged: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(factory=dict)
    start_from: Start | None = None
    statistics: str | None = None

    @property
    def needs(self) -> list[str]:
        """The cells that must be finished before this one."""
        start = [] if self.start_from is None else [self.start_from.cell]
        return list(dict.fromkeys([*start, *braces(self.config)]))


@frozen(kw_only=True)
class Plan:
    """The whole matrix. `judged` and `untrained` are numbers of samples; `step` and `around` are the seconds that a
    step of the plain cell takes on two cores, and what surrounds the training of a cell: the budget's assumptions."""

    tasks: tuple[str, ...]
    judged: int
    untrained: int
    step: float
    around: float
    base: Mapping[str, Any]
    cells: Mapping[str, Cell]

    def seconds(self, name: str) -> float:
        """What a cell is expected to take on two cores, on one task."""
        cell = self.cells[name]
        return cell.steps * cell.cost * self.step + self.around

    def chosen(self, names: tuple[str, ...]) -> list[str]:
        """The cells of these names (all where there are none) and those that they need, in the file's order."""
        for name in names:
            if name not in self.cells:
                known = f"Known: {listing(self.cells)}."
                raise UnknownName(f"There is no cell {name!r}.{near_miss(name, self.cells)} {known}")
        wanted = set(names or self.cells)
        for name in reversed(self.cells):
            wanted |= set(self.cells[name].needs) if name in wanted else set()
        return [name for name in self.cells if name in wanted]


def read(file: Path = FILE) -> Plan:
    """The plan in a file. Raises ConfigError; a cell may only need cells above it."""
    plan = structure(yaml_files.read(file), Plan, "")
    above: list[str] = []
    for name, cell in plan.cells.items():
        for need in cell.needs:
            if need not in above:
                raise ConfigError(f"cells.{name}: it needs the cell {need!r}, which must stand above it in the file.")
        above.append(name)
    return plan


def overlay(plan: Plan, name: str, task: str) -> dict[str, Any]:
    """The configuration of a cell as it is written: `task` is all that differs between its two tasks."""
    return combine(plan.base, plan.cells[name].config, {"task": task})


def configuration(plan: Plan, name: str, task: str, *, output: Path, scale: float = 1.0) -> dict[str, Any]:
    """The same with its length, and with the folders of other cells in place of their names."""
    whole = filled(overlay(plan, name, task), lambda cell: str(folder(output, task, cell)))  # `{vae}`: that cell's
    return combine(whole, lengths(whole, max(1, round(plan.cells[name].steps * scale)), scale))


def folder(output: Path, task: str, cell: str) -> Path:
    return output / task / cell


def lengths(config: Mapping[str, Any], steps: int, scale: float) -> dict[str, Any]:
    """What follows from the number of steps. The average of the weights reaches over the same share of the run."""
    return {
        "train": {"steps": steps, "checkpoint_every": max(1, steps // 4)},
        "stage": {"ema_decay": config["stage"]["ema_decay"] ** (1 / scale)},
        "schedule": {
            "warmup_steps": round(WARMUP * steps),
            "constant_steps": round(CONSTANT * steps),
            "end_step": steps,
        },
    }
