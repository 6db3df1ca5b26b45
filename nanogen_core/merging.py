"""What users wrote, in several layers, as one: files and recipes, keywords, `--set`.

The last layer that names a component decides. An option that was written for another component of the slot stays where
the new one has an option of the same name and type; any other is dropped, and both are said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from nanogen_core.config_layers import Given, Layer, members, over, same
from nanogen_core.errors import listing
from nanogen_core.kinds import groups, slots

Carries = Callable[[str, str, str, str], bool]  #: (kind, old name, new name, option) -> whether the option stays


class UserLayers:
    """Merges normalised layers. Collects `notes` on options that changed hands, and `problems`."""

    def __init__(self, carries: Carries):
        self.carries = carries
        self.notes: list[str] = []
        self.problems: list[str] = []

    def merged(self, layers: Sequence[Layer]) -> Layer:
        """The layers as one, later over earlier."""
        keys = dict.fromkeys(key for layer in layers for key in layer)
        return {key: self._value(key, [layer[key] for layer in layers if key in layer]) for key in keys}

    def _value(self, key: str, values: Sequence[Any]) -> Any:
        if key in slots():
            return self._slot(key, values)
        lost: list[str] = []
        lay = members if key in groups() else over
        found = reduce(lambda low, high: lay(low, high, lost, key), values)
        if lost:
            self.notes.append(f"Dropped {listing(lost)}: written for another component than the one that is named now.")
        return found

    def _slot(self, kind: str, values: Sequence[Any]) -> Any:
        named = [place for place, value in enumerate(values) if isinstance(value, Given) or "name" in value]
        last = values[named[-1]] if named else {}
        if isinstance(last, Given):
            if values[named[-1] + 1 :]:
                self.problems.append(f"{kind}: options cannot be laid over an object: make the object with them")
            return last
        return self._options(kind, last.get("name"), values)

    def _options(self, kind: str, final: str | None, values: Sequence[Any]) -> Layer:
        """The options of one slot that hold for the component that is named last."""
        result: Layer = {} if final is None else {"name": final}
        origin: dict[str, str | None] = {}  # option -> for which component it was written last, if it is not this one
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
        self._say(kind, str(final), {o: old for o, old in origin.items() if old}, dropped, lost)
        return result

    def _say(self, kind: str, new: str, kept: dict[str, str], dropped: dict[str, str], lost: list[str]) -> None:
        for old in dict.fromkeys([*kept.values(), *dropped.values()]):
            stays = listing(option for option, owner in kept.items() if owner == old)
            goes = listing(option for option, owner in dropped.items() if owner == old)
            self.notes.append(
                f"{kind}: {new!r} replaces {old!r}. Options that were written for {old!r} and that both have are kept:"
                f" {stays}. Dropped: {goes}."
            )
        if lost:
            self.notes.append(f"Dropped {listing(lost)}: written for another component than the one that is named now.")
