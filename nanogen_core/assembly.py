"""Builds the parts of a pipeline. Keyword-only parameters of a constructor name the parts that it receives.

The typical order of building is dataset, task, conditioner, tokenizer, latent, backbone, objective.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve

from nanogen_core import capabilities, protocol_check
from nanogen_core.config import Part, Resolved, import_object
from nanogen_core.errors import DataError, NanoGenError, listing, near_miss
from nanogen_core.kinds import group_arguments, slots
from nanogen_core.named_components import record_options
from nanogen_core.specs import LatentSpec

#: Constructor parameters other than the names of slots and groups.
FACTS = ("classes", "condition", "image_size", "latent", "pipeline", "seed", "wanted")


class Assembly(Mapping[str, Any]):
    """Mapping of names to the parts of a resolved configuration. Each part is built on first access.

    Args:
        resolved: The configuration.
        known: Name -> part or fact that is known already, such as the `classes` of a saved pipeline.
    """

    def __init__(self, resolved: Resolved, known: Mapping[str, Any] | None = None):
        self.resolved = resolved
        self._built: dict[str, Any] = {"image_size": resolved.image_size, "seed": resolved.seed, **(known or {})}
        self._open: list[str] = []  # names of the parts under construction, to detect cycles
        self._facts: dict[str, Callable[[], Any]] = {
            "classes": lambda: tuple(self["dataset"].classes),
            "latent": self._latent,
            "condition": lambda: self["conditioner"].spec,
            **{word: self._group_builder(kind) for kind, word in group_arguments().items()},
        }

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            if name in self._open:
                raise NanoGenError(f"Parts need each other: {' -> '.join([*self._open, name])}. Replace one of them.")
            self._open.append(name)
            try:
                self._built[name] = self._make(name)
            finally:
                self._open.pop()
        return self._built[name]

    def built(self) -> dict[str, Any]:
        """Return the parts that are built so far, by name. A member of a group has a name such as `guidance cfg`."""
        found = {name: part for name, part in self._built.items() if name in self.resolved.slots}
        for kind, word in group_arguments().items():
            group = self._built.get(word)
            if isinstance(group, _Group):
                found.update({f"{kind} {name}": part for name, part in group.built.items()})
        return found

    def supply(self, name: str, part: Any) -> None:
        """Add a part that was built elsewhere."""
        self._built[name] = part

    def excuse_dataset(self) -> None:
        """If the dataset raises DataError, replace it by an `AbsentDataset`, which fails only when it is opened."""
        try:
            self["dataset"]
        except DataError as reason:
            self._built["dataset"] = AbsentDataset(self["classes"], reason)

    def __contains__(self, name: object) -> bool:
        return name in self._names()  # Mapping.__contains__ would build the part

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [*{**self._built, **self._facts}, *(kind for kind in slots() if kind in self.resolved.slots)]

    def _make(self, name: str) -> Any:
        if name in self._facts:
            return self._facts[name]()
        if name in self.resolved.slots:
            return self.build(self.resolved.slots[name])
        raise KeyError(name)

    def _latent(self) -> LatentSpec:
        """Return the tokenizer's LatentSpec. Group members that provide `cls-token` determine its `cls_token_width`."""
        latent: LatentSpec = self["tokenizer"].latent(self.resolved.image_size)
        widths = [
            self[word][name].cls_token_width
            for kind, word in group_arguments().items()
            for name, part in self.resolved.groups[kind].items()
            if "cls-token" in part.chosen.component.provides
        ]
        return evolve(latent, cls_token_width=sum(widths)) if widths else latent

    def _group_builder(self, kind: str) -> Callable[[], Mapping[str, Any]]:
        return lambda: _Group(self, self.resolved.groups[kind])

    def build(self, part: Part) -> Any:
        """Build a component, or return the given object. Raises NanoGenError if a protocol member is missing."""
        kind = part.chosen.component.kind
        if part.instance is not None:
            protocol_check.check(kind, part.instance, f"{kind}: the object of class {type(part.instance).__qualname__}")
            return part.instance
        target = import_object(part.chosen.component.target)
        config = () if part.config is None else (part.config,)
        built = record_options(target(*config, **self._arguments(target, part)), part.config)
        protocol_check.check(kind, built, _who(part))
        return built

    def _arguments(self, target: Callable[..., Any], part: Part) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parameter in inspect.signature(target).parameters.values():
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                continue
            if parameter.name == "wanted":
                found["wanted"] = capabilities.wanted(self.resolved.parts(), part.chosen.component.kind)
            elif parameter.name in self:
                found[parameter.name] = self[parameter.name]
            elif parameter.default is inspect.Parameter.empty:
                raise NanoGenError(_unknown_part(part, parameter.name, self))
            elif parameter.name not in known_words() and near_miss(parameter.name, known_words()):
                raise NanoGenError(_misspelt_part(part, parameter.name))
        return found


class _Group(Mapping[str, Any]):
    """Mapping of names to the components of a group. Each is built on first access: a metric may be a large network."""

    def __init__(self, assembly: Assembly, parts: Mapping[str, Part]):
        self._assembly, self._parts = assembly, parts
        self.built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self.built:
            self.built[name] = self._assembly.build(self._parts[name])
        return self.built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def known_words() -> tuple[str, ...]:
    """Return the names of all parts and facts that a constructor may receive as keyword-only parameters."""
    return (*slots(), *group_arguments().values(), *FACTS)


def _who(part: Part) -> str:
    return f"{part.chosen.component.kind} {part.name!r} of {part.chosen.distribution}"


def _unknown_part(part: Part, name: str, assembly: Assembly) -> str:
    return (
        f"{_who(part)} needs the part {name!r}, which this configuration does not have.{near_miss(name, assembly)}"
        f" If it is an optional slot, add it to `needs` of the component. Parts: {listing(sorted(set(assembly)))}."
    )


def _misspelt_part(part: Part, name: str) -> str:
    """Return the error message for an optional parameter that resembles the name of a part."""
    near, known = near_miss(name, known_words()), listing(known_words())
    return f"{_who(part)} has the parameter {name!r}, but no part has this name.{near} Parts: {known}."


class AbsentDataset:
    """Placeholder for a dataset whose data is missing or wrong. It knows the class names; `open` raises `reason`."""

    def __init__(self, classes: tuple[str, ...], reason: DataError):
        self.classes = classes
        self.reason = reason

    def open(self, split: str, image_size: int, view: str) -> Any:
        raise self.reason
