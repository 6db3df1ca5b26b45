"""The resolved configuration: selected components with all option values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from nanogen_core import capabilities
from nanogen_core.config_layers import OBJECT
from nanogen_core.kinds import groups
from nanogen_core.registry import Chosen
from nanogen_files.structure import plain


@frozen
class Part:
    """A selected component. `config` is an instance of its config class; None if it has no options."""

    chosen: Chosen
    written: str  # the name in the configuration, possibly `distribution:name`
    config: Any = None
    instance: Any = None  # an object that the caller gave instead of a name

    @property
    def name(self) -> str:
        return self.chosen.component.name


@frozen
class Resolved:
    """A complete configuration with a value for every option. `resolve` creates it."""

    image_size: int
    seed: int
    method: str | None
    slots: Mapping[str, Part]
    groups: Mapping[str, Mapping[str, Part]]
    removed: Mapping[str, tuple[str, ...]]  # group -> members that were removed with null
    sections: Mapping[str, Any] = field(factory=dict)  # name -> its options, an instance of its attrs class

    @property
    def task(self) -> str:
        return self.slots["task"].name

    def parts(self) -> capabilities.Parts:
        """Return the selected components by kind, as `nanogen_core.capabilities` takes them."""
        slots = {kind: (part.chosen,) for kind, part in self.slots.items()}
        return {**slots, **{kind: tuple(p.chosen for p in members.values()) for kind, members in self.groups.items()}}

    def objects(self) -> dict[str, Any]:
        """Return the parts that were given as objects, as a configuration layer."""
        of_groups = {k: {n: p.instance for n, p in m.items() if p.instance is not None} for k, m in self.groups.items()}
        of_slots = {kind: part.instance for kind, part in self.slots.items() if part.instance is not None}
        return {**of_slots, **{kind: members for kind, members in of_groups.items() if members}}

    def as_dict(self) -> dict[str, Any]:
        """Return all options as plain values. `resolve(as_dict(), objects())` gives an equal configuration."""
        method = {} if self.method is None else {"method": self.method}
        slots = {kind: _written(part) for kind, part in self.slots.items()}
        task = {"task": slots.pop("task")}
        members = {kind: self._group(kind) for kind in groups() if self._group(kind)}
        rest = {"image_size": self.image_size, "seed": self.seed}
        sections = {name: plain(options) for name, options in self.sections.items()}
        return {**task, **method, **rest, **slots, **members, **sections}

    def _group(self, kind: str) -> dict[str, Any]:
        members = {name: _options(part) for name, part in self.groups[kind].items()}
        return {**members, **dict.fromkeys(self.removed[kind])}


def _written(part: Part) -> dict[str, Any]:
    return {**({} if part.instance is not None else {"name": part.written}), **_options(part)}


def _options(part: Part) -> dict[str, Any]:
    if part.instance is not None:
        return {OBJECT: part.name}
    return plain(part.config) if part.config is not None else {}
