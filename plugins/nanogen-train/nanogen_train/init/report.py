"""Report on how pretrained weights were loaded: taken, renamed, resized, grown, zeroed, fresh (not loaded), unused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from attrs import evolve, frozen

from nanogen_files.adaptation import Action

ACTIONS: tuple[Action, ...] = get_args(Action)
SHOWN = 4  # names in a row of the table


@frozen
class Entry:
    """One tensor: its name, the action (such as "resized"), its source tensors, and its number of values."""

    name: str
    action: Action
    sources: tuple[str, ...]
    size: int


@frozen(kw_only=True)
class PartReport:
    """Report on how one part was loaded from pretrained weights.

    `unused` contains the source tensors that were not used. `notes` are remarks by the part's modules.
    """

    entries: Sequence[Entry]
    unused: Mapping[str, int]  # name -> number of values
    notes: Sequence[str]

    def names(self, *actions: Action) -> list[str]:
        """Return the names of the tensors with one of these actions."""
        return [entry.name for entry in self.entries if entry.action in actions]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values: the number of tensors that were taken, and the names of the others by action."""
        found: dict[str, Any] = {"taken": len(self.names("taken"))}
        for action in ACTIONS[1:]:
            named = {entry.name: list(entry.sources) for entry in self.entries if entry.action == action}
            if named:
                found[action] = named if any(named.values()) else list(named)
        return {**found, **({"unused": list(self.unused)} if self.unused else {})}

    def lines(self) -> list[str]:
        """Return the rows of the part in the table of `InitReport`."""
        rows = []
        for action in ACTIONS:
            members = [entry for entry in self.entries if entry.action == action]
            if members:
                names = "" if action == "taken" else _modules(_arrow(entry) for entry in members)
                rows.append(_row(action, len(members), sum(entry.size for entry in members), names))
        if self.unused:
            rows.append(_row("not used", len(self.unused), sum(self.unused.values()), _modules(self.unused)))
        return rows


@frozen(kw_only=True)
class InitReport:
    """Report on how a pipeline was loaded from pretrained weights. `str(report)` is a table.

    Args:
        source: The folder or file.
        sha256: Hash of its contents.
        parts: Reports by part: "backbone", and the other parts with weights in the pipeline or the source.
        notes: Differences that cannot be seen in the weights, such as another tokenizer.
    """

    source: Path
    sha256: str
    parts: Mapping[str, PartReport]
    notes: Sequence[str]

    @property
    def backbone(self) -> PartReport:
        return self.parts["backbone"]

    def noted(self, notes: Iterable[str]) -> InitReport:
        """Return the report with further notes."""
        return evolve(self, notes=[*self.notes, *notes])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values for `run.json`."""
        return {
            "source": str(self.source.absolute()),
            "sha256": self.sha256,
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"Start from {self.source} (sha256 {self.sha256[:12]})"]
        for name, part in self.parts.items():
            lines += [f"{name:14}{'tensors':>9}{'values':>16}", *part.lines()]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _arrow(entry: Entry) -> str:
    moved = entry.sources and entry.sources != (entry.name,)
    return f"{entry.name} <- {entry.sources[0]}" if moved else entry.name


def _modules(names: Iterable[str]) -> str:
    """Return the modules of tensors, the first few of them."""
    modules = list(dict.fromkeys(" <- ".join(_module(side) for side in name.split(" <- ")) for name in names))
    more = f", and {len(modules) - SHOWN} more" if len(modules) > SHOWN else ""
    return ", ".join(modules[:SHOWN]) + more


def _module(name: str) -> str:
    return name.rpartition(".")[0] or name


def _row(action: str, tensors: int, values: int, names: str) -> str:
    return f"  {action:12}{tensors:9,}{values:16,}  {names}".rstrip()
