"""Plan of the matrix: a base configuration, and an overlay for each cell."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import field, frozen, validators

from nanogen_bench.mini.folders import braces, filled
from nanogen_core.config import combine
from nanogen_core.errors import ConfigError, ConfigWarning, UnknownName, listing, near_miss
from nanogen_files import yaml_files
from nanogen_files.structure import structure

FILE = Path(__file__).with_name("cells.yaml")
WARMUP, CONSTANT = 1 / 30, 2 / 3  # fractions of the steps; the learning rate decays to 0 afterwards


@frozen(kw_only=True)
class Cell:
    """One method.

    Attributes:
        config: Configuration that overrides the base.
        judge: Numbers of sampling steps to evaluate.
        logged: Logged values to show as scores, for a cell that only prepares another one.
        cost: Time of a training step, relative to that of the plain cell.
        statistics: File in the cell's folder for its latent statistics, which other cells read.
        package: Optional package that the cell needs. Without it the cell runs only if it is named.
    """

    summary: str
    steps: int = field(validator=validators.ge(1))
    cost: float = 1.0
    judge: tuple[int, ...] = ()
    logged: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(factory=dict)
    statistics: str | None = None
    package: str | None = None

    @property
    def is_available(self) -> bool:
        """Whether the package that the cell needs is installed."""
        return self.package is None or find_spec(self.package) is not None

    @property
    def needs(self) -> list[str]:
        """Cells that must be finished before this one."""
        return list(dict.fromkeys(braces(self.config)))


@frozen(kw_only=True)
class Plan:
    """Plan of the matrix.

    Attributes:
        judged: Number of samples for scores.
        untrained: Number of samples for scores of initial weights.
        step: Expected seconds of a training step of the plain cell on two cores.
        around: Expected seconds of a cell besides its training.
    """

    tasks: tuple[str, ...]
    judged: int
    untrained: int
    step: float
    around: float
    base: Mapping[str, Any]
    cells: Mapping[str, Cell]

    def seconds(self, name: str) -> float:
        """Return the expected seconds of a cell on one task, on two cores."""
        cell = self.cells[name]
        return cell.steps * cell.cost * self.step + self.around

    def chosen(self, names: tuple[str, ...]) -> list[str]:
        """Return the given cells (all available ones if none is given) and the cells that they need, in order."""
        for name in names:
            if name not in self.cells:
                known = f"Known: {listing(self.cells)}."
                raise UnknownName(f"There is no cell {name!r}.{near_miss(name, self.cells)} {known}")
        wanted = set(names or (name for name, cell in self.cells.items() if cell.is_available))
        for name in reversed(self.cells):
            wanted |= set(self.cells[name].needs) if name in wanted else set()
        return [name for name in self.cells if name in wanted]


def read(file: Path = FILE) -> Plan:
    """Read a plan. Raises ConfigError, for example if a cell needs a cell below it."""
    plan = structure(yaml_files.read(file), Plan, "")
    above: list[str] = []
    for name, cell in plan.cells.items():
        for need in cell.needs:
            if need not in above:
                raise ConfigError(f"cells.{name} needs the cell {need!r}: move that cell above it in the file.")
        above.append(name)
    return plan


def overlay(plan: Plan, name: str, task: str) -> dict[str, Any]:
    """Return the configuration of a cell. Only `task` differs between its two tasks."""
    with stated_options():
        return combine(plan.base, plan.cells[name].config, {"task": task})


@contextmanager
def stated_options() -> Iterator[None]:
    """Silence the notes on replaced components: the plan states the options of each cell on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        yield


def configuration(plan: Plan, name: str, task: str, *, output: Path, scale: float = 1.0) -> dict[str, Any]:
    """Return the configuration with its length, and with folders of other cells instead of their names."""
    whole = filled(
        overlay(plan, name, task), lambda cell: str(folder(output, task, cell))
    )  # `{vae}` becomes the folder of the cell
    return combine(whole, lengths(whole, max(1, round(plan.cells[name].steps * scale)), scale))


def folder(output: Path, task: str, cell: str) -> Path:
    return output / task / cell


def lengths(config: Mapping[str, Any], steps: int, scale: float) -> dict[str, Any]:
    """Return the options that depend on the number of steps. The EMA covers the same fraction of the run."""
    return {
        "train": {"steps": steps, "checkpoint_every": max(1, steps // 4)},
        "stage": {"ema_decay": config["stage"]["ema_decay"] ** (1 / scale)},
        "schedule": {
            "warmup_steps": round(WARMUP * steps),
            "constant_steps": round(CONSTANT * steps),
            "end_step": steps,
        },
    }
