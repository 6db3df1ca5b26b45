"""From what a user wrote to a resolved configuration: layers merged, names found, needs met, options strict.

Everything that is wrong is said at once. Nothing is imported but the modules that hold the chosen config classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from nanogen_core import compat
from nanogen_core.component_options import attrs_class, read, shared, typed
from nanogen_core.config_layers import Absent, Given, Layer, for_task, merge, normalise, split
from nanogen_core.errors import ConfigError, ConfigWarning, Incompatible, Mistakes, NanoGenError, listing, shown
from nanogen_core.kinds import defaults, groups, required, sections, slots
from nanogen_core.merging import UserLayers
from nanogen_core.registry import Chosen, Registry
from nanogen_core.resolved import Part, Resolved
from nanogen_core.specs import Component
from nanogen_files.structure import structure

#: What holds where nobody says otherwise.
BASE: Mapping[str, Any] = {"image_size": 256, "seed": 0}
ROUNDS = 20  # of components that bring components along


class Resolution:
    """One resolution of what a user wrote, later layers over earlier: collects every mistake before it raises."""

    def __init__(self, layers: Sequence[Mapping[str, Any]], known: Registry):
        self.layers = layers
        self.known = known
        self.instances: dict[str, Any] = {}  # objects that stand for a slot
        self.problems: list[NanoGenError] = []

    def result(self) -> Resolved:
        merged = self._merged()
        merged = typed(merged, self._names(merged), self.known)
        classes = {name: attrs_class(self.known.sections[name]) for name in sections()}
        merged.update({name: read(merged.get(name, {}), config) for name, config in classes.items()})
        chosen = self._chosen(merged)
        self._demand(chosen, merged)
        if not self.problems:  # a name that leads nowhere would show here as a need that nobody meets
            parts = {kind: tuple(members.values()) for kind, members in chosen.items()}
            self.problems += [Incompatible(sentence) for sentence in self._mismatches(parts, merged)]
        configured = {kind: self._configured(kind, members) for kind, members in chosen.items()}
        read_sections = {name: self._structure(merged[name], config, name) for name, config in classes.items()}
        self.stop_at_problems()
        return Resolved(
            image_size=merged["image_size"],
            seed=merged["seed"],
            method=merged.get("method"),
            slots={kind: next(iter(configured[kind].values())) for kind in slots() if configured.get(kind)},
            groups={kind: configured.get(kind, {}) for kind in groups()},
            removed={kind: tuple(n for n, o in merged.get(kind, {}).items() if o is None) for kind in groups()},
            sections=read_sections,
        )

    def written(self, task: str | None = None) -> Layer:
        """What the user's layers say together for a task; by default for the one that they name."""
        mistakes: list[str] = []
        chosen = self._task() if task is None else task
        layers = [layer for raw in self.layers for layer in split(raw, chosen, mistakes)]
        written = UserLayers(partial(shared, self.known))
        user = written.merged(layers)
        for note in written.notes:
            warnings.warn(note, ConfigWarning, stacklevel=1)  # said once, however often the same layers are resolved
        self.problems += [ConfigError(mistake) for mistake in (*mistakes, *written.problems)]
        return user

    def stop_at_problems(self) -> None:
        """Raises what was found so far, if anything."""
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            lines = [str(problem) for problem in self.problems]
            raise Mistakes(lines, f"The configuration has {len(lines)} mistakes:")

    # -- layers ------------------------------------------------------------------------------------------------------

    def _merged(self) -> Layer:
        """Every layer over the ones below it. Components bring defaults along, which may name further components."""
        user = self.written()
        self.instances = {kind: value.instance for kind, value in user.items() if isinstance(value, Given)}
        self.problems += [
            ConfigError(
                f"{kind}: this was an object of the class {given.of}. Give it again: `Pipeline.load(folder,"
                f" {kind}=...)` or `build_pipeline(config, {kind}=...)`."
            )
            for kind, given in self.instances.items()
            if isinstance(given, Absent)
        ]
        user = {kind: value for kind, value in user.items() if kind not in self.instances}
        task = _name_of(user.get("task")) or ""
        below = [dict(normalise({**BASE, **defaults()}, [])), self._defaults("task", task, task)]
        above = [self._method(user.get("method"), task), user]
        merged = merge([*below, *above])
        for _ in range(ROUNDS):
            names = self._names(merged)
            brought = [self._defaults(kind, name, task) for kind, name in names if kind != "task"]
            merged = merge([*below, *brought, *above])
            if self._names(merged) == names:
                return merged
        raise NanoGenError(f"The defaults of components replace each other without end: {listing(map(str, names))}.")

    def _task(self) -> str:
        """The task that the last layer to name one names; none where an object stands for it."""
        slots = [normalise({"task": raw["task"]}, []).get("task", {}) for raw in self.layers if "task" in raw]
        return next((_name_of(slot) or "" for slot in reversed(slots) if isinstance(slot, Given) or "name" in slot), "")

    def _names(self, merged: Layer) -> list[tuple[str, str]]:
        """(kind, name) of every component that the layers name, in order; where an object stands, none is named."""
        return [(kind, name) for kind, name in _names(merged) if kind not in self.instances]

    def _defaults(self, kind: str, name: str, task: str) -> Layer:
        """What a component brings along; nothing for an unknown name, which `_chosen` reports."""
        try:
            component = self.known.component(kind, name).what
        except NanoGenError:
            return {}
        return self._plugin_layer(component.defaults, task, f"{kind} {name!r}")

    def _method(self, name: str | None, task: str) -> Layer:
        if name is None:
            return {}
        try:
            method = self.known.method(name).what
        except NanoGenError as error:
            self.problems.append(error)
            return {}
        return self._plugin_layer({**method.defaults, "per_task": method.per_task}, task, f"method {name!r}")

    def _plugin_layer(self, values: Mapping[str, Any], task: str, owner: str) -> Layer:
        mistakes: list[str] = []
        layer = for_task(values, task, mistakes)
        self.problems += [ConfigError(f"The defaults of {owner} are wrong: {mistake}") for mistake in mistakes]
        return layer

    # -- names and needs ---------------------------------------------------------------------------------------------

    def _chosen(self, merged: Layer) -> dict[str, dict[str, Chosen]]:
        """The components by kind and name. A kind that no part needs is left out, whatever it says: the class task has
        no use for the text encoder that a dataset brings along."""
        chosen: dict[str, dict[str, Chosen]] = {kind: {} for kind in groups()}
        for kind, instance in self.instances.items():
            chosen[kind] = {_object_name(instance): Chosen(_object_component(kind, instance), "", {})}
        for kind, name in sorted(self._names(merged), key=lambda pair: self._optional(pair[0])):
            if self._optional(kind) and not compat.asked_for(kind, chosen):
                continue
            options = merged[kind] if kind in slots() else merged[kind][name]
            found = self._find(kind, name, {key: value for key, value in options.items() if key != "name"})
            if found:
                chosen.setdefault(kind, {})[name] = found
        without = self._excluded(chosen)
        return {kind: members for kind, members in chosen.items() if kind not in without}

    def _excluded(self, chosen: Mapping[str, Mapping[str, Chosen]]) -> frozenset[str]:
        """The kinds that a chosen component excludes. An object that was given for one is a mistake."""
        without = compat.excluded({kind: tuple(members.values()) for kind, members in chosen.items()})
        for kind in without & self.instances.keys():
            by = next(c.component for m in chosen.values() for c in m.values() if kind in c.component.excludes)
            self.problems.append(Incompatible(f"{kind}: an object was given, and {by.kind} {by.name!r} uses none."))
        return without

    def _optional(self, kind: str) -> bool:
        """Whether a slot is kept only where a part needs it."""
        return kind in slots() and kind not in required()

    def _find(self, kind: str, name: str, options: Mapping[str, Any]) -> Chosen | None:
        try:
            offer = self.known.component(kind, name)
        except NanoGenError as error:
            self.problems.append(error)
            return None
        return Chosen(offer.what, offer.distribution, options)

    def _demand(self, chosen: Mapping[str, Mapping[str, Chosen]], merged: Layer) -> None:
        """Says which required slots are empty; one whose name leads nowhere was named before.

        Without its task or its method a configuration lacks what these bring along, which is not worth saying.
        """
        task, method = _name_of(merged.get("task")), merged.get("method")
        if (task and "task" not in chosen) or (method and method.rpartition(":")[2] not in self.known.methods):
            return
        without = compat.excluded({kind: tuple(members.values()) for kind, members in chosen.items()})
        for kind in required():
            if kind not in chosen and kind not in without and not _name_of(merged.get(kind)):
                self.problems.append(ConfigError(f"`{kind}:` is missing.{self._hint(kind, merged)}"))

    def _hint(self, kind: str, merged: Layer) -> str:
        if kind != "task" and "method" not in merged:
            return f" A `method:` brings it along; installed: {listing(self.known.methods)}."
        return f" Installed: {listing(self.known.components[kind])}."

    def _mismatches(self, parts: compat.Parts, merged: Layer) -> list[str]:
        found = compat.mismatches(parts, self.known)
        chosen = {kind: members[0] for kind, members in parts.items() if kind in slots() and members}
        for plugin, answer in self.known.discovery.answers("nanogen_check", parts=chosen, config=merged):
            if isinstance(answer, Exception):
                found.append(f"The check of {plugin.distribution} failed: {type(answer).__name__}: {answer}")
            elif answer is not None and not isinstance(answer, (list, tuple)):
                found.append(f"The check of {plugin.distribution} failed: it must return a list, not {shown(answer)}")
            else:
                found += answer or []
        return found

    # -- options -----------------------------------------------------------------------------------------------------

    def _configured(self, kind: str, members: Mapping[str, Chosen]) -> dict[str, Part]:
        return {name: self._part(kind, name, chosen) for name, chosen in members.items()}

    def _part(self, kind: str, name: str, chosen: Chosen) -> Part:
        path = kind if kind in slots() else f"{kind}.{name}"
        config = self._config(chosen.component, chosen.options, path)
        return Part(chosen, name, config, self.instances.get(kind))

    def _config(self, component: Component, options: Mapping[str, Any], path: str) -> Any:
        if component.config is None:
            self.problems += [ConfigError(f"{path}.{key}: {component.name!r} takes no options") for key in options]
            return None
        return self._structure(options, attrs_class(component.config), path)

    def _structure(self, values: Mapping[str, Any], into: type[Any], path: str) -> Any:
        try:
            return structure(values, into, path)
        except Mistakes as error:
            self.problems += [ConfigError(line) for line in error.lines]
            return None


def _names(merged: Layer) -> list[tuple[str, str]]:
    """(kind, name) of every component that the layers name, in order."""
    in_slots = [(kind, name) for kind in slots() if (name := _name_of(merged.get(kind)))]
    in_groups = [(kind, n) for kind in groups() for n, options in merged.get(kind, {}).items() if options is not None]
    return in_slots + in_groups


def _name_of(slot: Any) -> str | None:
    name = slot.get("name") if isinstance(slot, Mapping) else slot
    return name if isinstance(name, str) else None


def _object_name(instance: Any) -> str:
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def _object_component(kind: str, instance: Any) -> Component:
    """An object that a caller built stands for itself; it may say what it can in `provides` and `needs`."""
    provides, needs = getattr(instance, "provides", ()), getattr(instance, "needs", {})
    return Component(kind=kind, name=_object_name(instance), target="", provides=provides, needs=needs)
