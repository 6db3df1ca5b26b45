"""Merges the layers that a user gives: files and recipes, keyword arguments, `--set` options.

The last layer that names a component of a slot selects it. Options that were set for another component of the slot are
kept if both components have an option of that name and type, and dropped otherwise. Both cases produce a note.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from nanogen_core.config_layers import Given, Layer, members, over, same
from nanogen_core.errors import listing
from nanogen_core.kinds import groups, slots

Carries = Callable[[str, str, str, str], bool]  #: (kind, old name, new name, option) -> whether to keep the option


class UserLayers:
    """Merges normalised layers. `notes` lists options that were kept or dropped, `problems` the mistakes."""

    def __init__(self, carries: Carries):
        self.carries = carries
        self.notes: list[str] = []
        self.problems: list[str] = []

    def merged(self, layers: Sequence[Layer]) -> Layer:
        """Merge the layers. Later layers override earlier ones."""
        keys = dict.fromkeys(key for layer in layers for key in layer)
        return {key: self._value(key, [layer[key] for layer in layers if key in layer]) for key in keys}

    def _value(self, key: str, values: Sequence[Any]) -> Any:
        if key in slots():
            return self._slot(key, values)
        lost: list[str] = []
        lay = members if key in groups() else over
        found = reduce(lambda low, high: lay(low, high, lost, key), values)
        self._note_lost(lost)
        return found

    def _slot(self, kind: str, values: Sequence[Any]) -> Any:
        named = [index for index, value in enumerate(values) if isinstance(value, Given) or "name" in value]
        last = values[named[-1]] if named else {}
        if isinstance(last, Given):
            if values[named[-1] + 1 :]:
                self.problems.append(f"{kind}: an object takes no options; set them when you create the object")
            return last
        return self._options(kind, last.get("name"), values)

    def _options(self, kind: str, final: str | None, values: Sequence[Any]) -> Layer:
        """Merge the options of one slot for the component `final`, which the last layer selects."""
        result: Layer = {} if final is None else {"name": final}
        origin: dict[str, str | None] = {}  # option -> the other component for which it was last set; None for `final`
        dropped: dict[str, str] = {}
        lost: list[str] = []
        owner: Any = None
        for value in values:
            if isinstance(value, Given):
                owner = value
                continue
            owner = value.get("name", owner)
            for option, setting in value.items():
                if option == "name" or isinstance(owner, Given):
                    continue
                foreign = None if owner is None or final is None or same(owner, final) else owner
                if foreign and not self.carries(kind, foreign, str(final), option):
                    dropped[option] = foreign
                    continue
                result[option] = over(result.get(option), setting, lost, f"{kind}.{option}")
                origin[option] = foreign
                dropped.pop(option, None)
        self._note(kind, str(final), {o: old for o, old in origin.items() if old}, dropped, lost)
        return result

    def _note(self, kind: str, new: str, kept: dict[str, str], dropped: dict[str, str], lost: list[str]) -> None:
        for old in dict.fromkeys([*kept.values(), *dropped.values()]):
            stays = listing(option for option, owner in kept.items() if owner == old)
            goes = listing(option for option, owner in dropped.items() if owner == old)
            kept_and_dropped = f"Kept options, which both components have: {stays}. Dropped options: {goes}."
            self.notes.append(f"{kind}: {new!r} replaces {old!r}. {kept_and_dropped}")
        self._note_lost(lost)

    def _note_lost(self, lost: list[str]) -> None:
        if lost:
            self.notes.append(f"Dropped options of replaced components: {listing(lost)}.")
