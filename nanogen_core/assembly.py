"""Builds the chosen parts in the order in which facts flow: each names the parts that it wants as keyword parameters.

data -> task -> conditioner -> tokenizer -> latent -> backbone -> objective. A number that can be derived is derived.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve

from nanogen_core import compat, conformity
from nanogen_core.building import remembered
from nanogen_core.config import Part, Resolved, import_object
from nanogen_core.errors import DataError, NanoGenError, listing, near_miss
from nanogen_core.kinds import group_arguments, slots
from nanogen_core.specs import LatentSpec

#: What a constructor may ask for by a keyword, beside the slots and groups.
FACTS = ("classes", "condition", "image_size", "latent", "pipeline", "seed", "wanted")


class Assembly(Mapping[str, Any]):
    """The parts of a resolved configuration by name, each built when it is first asked for.

    `known` are facts that are not to be derived again, such as the class names of a saved pipeline.
    """

    def __init__(self, resolved: Resolved, known: Mapping[str, Any] | None = None):
        self.resolved = resolved
        self._built: dict[str, Any] = {"image_size": resolved.image_size, "seed": resolved.seed, **(known or {})}
        self._open: list[str] = []  # what is being built, to name a circle
        self._facts: dict[str, Callable[[], Any]] = {
            "classes": lambda: tuple(self["dataset"].classes),
            "latent": self._latent,
            "condition": lambda: self["conditioner"].spec,
            **{word: self._group_builder(kind) for kind, word in group_arguments().items()},
        }

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            if name in self._open:
                raise NanoGenError(f"The parts need each other in a circle: {' -> '.join([*self._open, name])}.")
            self._open.append(name)
            try:
                self._built[name] = self._make(name)
            finally:
                self._open.pop()
        return self._built[name]

    def built(self) -> dict[str, Any]:
        """The parts of slots and groups that were built so far. A member of a group is named like `guidance cfg`."""
        found = {name: part for name, part in self._built.items() if name in self.resolved.slots}
        for kind, word in group_arguments().items():
            group = self._built.get(word)
            if isinstance(group, _Group):
                found.update({f"{kind} {name}": part for name, part in group.built.items()})
        return found

    def supply(self, name: str, part: Any) -> None:
        """Adds a part that was made elsewhere."""
        self._built[name] = part

    def excuse_dataset(self) -> None:
        """Lets a loaded pipeline do without its data: an error only when images are asked for."""
        try:
            self["dataset"]
        except DataError as reason:
            self._built["dataset"] = AbsentDataset(self["classes"], reason)

    def __contains__(self, name: object) -> bool:
        return name in self._names()  # Mapping's own would build the part to find out

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
        """The tokenizer's latent, with the tokens that members of groups add: those that provide `token`."""
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
        """The component of one part, with the parts that its constructor names.

        Raises NanoGenError where it lacks what the protocol of its kind asks for.
        """
        kind = part.chosen.component.kind
        if part.instance is not None:
            conformity.check(kind, part.instance, f"{kind}: the object of the class {type(part.instance).__qualname__}")
            return part.instance
        target = import_object(part.chosen.component.target)
        config = () if part.config is None else (part.config,)
        built = remembered(target(*config, **self._arguments(target, part)), part.config)
        conformity.check(kind, built, _who(part))
        return built

    def _arguments(self, target: Callable[..., Any], part: Part) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parameter in inspect.signature(target).parameters.values():
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                continue
            if parameter.name == "wanted":
                found["wanted"] = compat.wanted(self.resolved.parts(), part.chosen.component.kind)
            elif parameter.name in self:
                found[parameter.name] = self[parameter.name]
            elif parameter.default is inspect.Parameter.empty:
                raise NanoGenError(_unknown_part(part, parameter.name, self))
            elif parameter.name not in known_words():
                raise NanoGenError(_misspelt_part(part, parameter.name))
        return found


class _Group(Mapping[str, Any]):
    """The components of a group by name, each built when it is read: a metric may be a large network."""

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
    """All that a constructor may ask for by a keyword."""
    return (*slots(), *group_arguments().values(), *FACTS)


def _who(part: Part) -> str:
    return f"{part.chosen.component.kind} {part.name!r} of {part.chosen.distribution}"


def _unknown_part(part: Part, name: str, assembly: Assembly) -> str:
    return (
        f"{_who(part)} asks for the part {name!r}, which this configuration does not have.{near_miss(name, assembly)}"
        f" It has: {listing(assembly)}."
    )


def _misspelt_part(part: Part, name: str) -> str:
    """An optional part may be missing from a configuration, but not from all configurations."""
    near, known = near_miss(name, known_words()), listing(known_words())
    return f"{_who(part)} asks for {name!r}, and there is no such part.{near} Parts: {known}."


class AbsentDataset:
    """Stands in for a dataset that is not on this machine: a loaded pipeline needs its class names, not its images."""

    def __init__(self, classes: tuple[str, ...], reason: DataError):
        self.classes = classes
        self.reason = reason

    def open(self, split: str, image_size: int, view: str) -> Any:
        raise self.reason
