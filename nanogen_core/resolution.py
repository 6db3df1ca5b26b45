"""Resolves layers to a complete configuration: merges them, looks up names, checks needs and options.

Mistakes are reported together. The modules of option classes are imported, those of components are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from nanogen_core import capabilities
from nanogen_core.component_options import read, shared, typed
from nanogen_core.config_layers import Absent, Given, Layer, for_task, merge, normalise, split
from nanogen_core.errors import ConfigError, ConfigWarning, Incompatible, Mistakes, NanoGenError, listing, shown
from nanogen_core.kinds import defaults, groups, required, sections, slots
from nanogen_core.merging import UserLayers
from nanogen_core.registry import Chosen, Registry, attrs_class
from nanogen_core.resolved import Part, Resolved
from nanogen_core.specs import Component
from nanogen_files.structure import structure

#: Defaults of the core.
BASE: Mapping[str, Any] = {"image_size": 256, "seed": 0}
ROUNDS = 20  # limit of passes over defaults that select further components


class Resolution:
    """Resolves the layers of a user. Collects all mistakes before it raises."""

    def __init__(self, layers: Sequence[Mapping[str, Any]], known: Registry):
        self.layers = layers
        self.known = known
        self.instances: dict[tuple[str, str], Any] = {}  # (kind, name) -> object given instead of a name
        self.user: Layer = {}
        self.problems: list[NanoGenError] = []

    def result(self) -> Resolved:
        """Return the complete configuration. Raises the error classes that `config.resolve` lists."""
        merged = self._merged()
        merged = typed(merged, self._names(merged), self.known)
        classes = {name: attrs_class(self.known.sections[name]) for name in sections()}
        merged.update({name: read(merged.get(name, {}), config) for name, config in classes.items()})
        chosen = self._chosen(merged)
        self._demand(chosen, merged)
        if not self.problems:  # an unknown name would be reported again as an unmet need
            parts = {kind: tuple(members.values()) for kind, members in chosen.items()}
            self.problems += [Incompatible(sentence) for sentence in self._mismatches(parts, merged)]
        configured = {kind: {n: self._part(kind, n, c) for n, c in members.items()} for kind, members in chosen.items()}
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
        """Merge the user's layers for a task; by default for the task that the layers select."""
        mistakes: list[str] = []
        chosen = self._task() if task is None else task
        layers = [layer for raw in self.layers for layer in split(raw, chosen, mistakes)]
        written = UserLayers(partial(shared, self.known))
        user = written.merged(layers)
        for note in written.notes:
            warnings.warn(note, ConfigWarning, stacklevel=1)  # Python shows equal warnings once
        self.problems += [ConfigError(mistake) for mistake in (*mistakes, *written.problems)]
        return user

    def stop_at_problems(self) -> None:
        """Raise the mistakes found so far, if any."""
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            lines = [str(problem) for problem in self.problems]
            raise Mistakes(lines, f"The configuration has {len(lines)} mistakes:")

    def _merged(self) -> Layer:
        """Merge the defaults of the core, task, components and method with the user's layers.

        Defaults of components may select further components, so this repeats until the components stay the same.
        """
        user = self.written()
        self.user = user = self._without_objects(user)
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
        cycle = listing(f"{kind}={name}" for kind, name in sorted({*names} ^ {*self._names(merged)}))
        raise NanoGenError(f"Component defaults select each other endlessly: {cycle}. Set one of these yourself.")

    def _without_objects(self, user: Layer) -> Layer:
        """Move the objects of a layer to `instances`. Reports objects of a saved pipeline that were not given again."""
        found = {(kind, _object_name(v.instance)): v for kind, v in user.items() if isinstance(v, Given)}
        for kind in groups():
            found |= {(kind, name): v for name, v in user.get(kind, {}).items() if isinstance(v, Given)}
        self.instances = {key: given.instance for key, given in found.items()}
        for (kind, name), given in self.instances.items():
            if isinstance(given, Absent):
                argument = f"{kind}=..." if kind in slots() else f"{kind}={{{name!r}: ...}}"
                self.problems.append(
                    ConfigError(
                        f"{kind}: the saved pipeline used an object of class {given.of}. Give one:"
                        f" `Pipeline.load(folder, {argument})` or `build_pipeline(config, {argument})`."
                    )
                )
        rest = {kind: value for kind, value in user.items() if not isinstance(value, Given)}
        return {
            kind: {n: v for n, v in value.items() if not isinstance(v, Given)} if kind in groups() else value
            for kind, value in rest.items()
        }

    def _task(self) -> str:
        """Return the task that the last layer selects; empty for none or an object."""
        slots = [normalise({"task": raw["task"]}, []).get("task", {}) for raw in self.layers if "task" in raw]
        return next((_name_of(slot) or "" for slot in reversed(slots) if isinstance(slot, Given) or "name" in slot), "")

    def _names(self, merged: Layer) -> list[tuple[str, str]]:
        """Return (kind, name) of every component that the layers select by name, in order."""
        given = {kind for kind, _ in self.instances if kind in slots()}
        return [pair for pair in _names(merged) if pair[0] not in given]

    def _defaults(self, kind: str, name: str, task: str) -> Layer:
        """Return the defaults of a component; none for an unknown name, which `_chosen` reports."""
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

    def _chosen(self, merged: Layer) -> dict[str, dict[str, Chosen]]:
        """Return the components by kind and name. Optional slots that no component needs are left empty: the class task
        ignores the text encoder that the defaults of a dataset select."""
        chosen: dict[str, dict[str, Chosen]] = {kind: {} for kind in groups()}
        for (kind, name), instance in self.instances.items():
            chosen.setdefault(kind, {})[name] = Chosen(_object_component(kind, instance), "", {})
        for kind, name in sorted(self._names(merged), key=lambda pair: self._optional(pair[0])):
            unused = self._optional(kind) and not capabilities.is_needed(kind, chosen)
            if unused and kind not in self.user:
                continue
            options = merged[kind] if kind in slots() else merged[kind][name]
            found = self._find(kind, name, {key: value for key, value in options.items() if key != "name"})
            if found and unused:
                self._part(kind, name, found)  # reports mistakes in its options
                note = f"{kind}: {name!r} is not used, because no selected component needs it."
                warnings.warn(note, ConfigWarning, stacklevel=1)
            elif found:
                chosen.setdefault(kind, {})[name] = found
        for kind, name in self.instances:
            if kind in groups() and (others := chosen[kind].keys() - self.user.get(kind, {}).keys() - {name}):
                note = f"{kind}: {name!r} is combined with defaults: {listing(others)}. To remove one, set it to null."
                warnings.warn(note, ConfigWarning, stacklevel=1)
        without = self._excluded(chosen)
        return {kind: members for kind, members in chosen.items() if kind not in without}

    def _excluded(self, chosen: Mapping[str, Mapping[str, Chosen]]) -> frozenset[str]:
        """Return the kinds that a selected component excludes. Reports objects that were given for them."""
        without = capabilities.excluded({kind: tuple(members.values()) for kind, members in chosen.items()})
        for kind in without & {kind for kind, _ in self.instances}:
            by = next(c.component for m in chosen.values() for c in m.values() if kind in c.component.excludes)
            self.problems.append(Incompatible(f"{kind}: {by.kind} {by.name!r} uses no {kind}; leave out the object."))
        return without

    def _optional(self, kind: str) -> bool:
        """Return whether a kind is a slot that is used only if a component needs it."""
        return kind in slots() and kind not in required()

    def _find(self, kind: str, name: str, options: Mapping[str, Any]) -> Chosen | None:
        try:
            offer = self.known.component(kind, name)
        except NanoGenError as error:
            self.problems.append(error)
            return None
        return Chosen(offer.what, offer.distribution, options)

    def _demand(self, chosen: Mapping[str, Mapping[str, Chosen]], merged: Layer) -> None:
        """Report required slots that are empty. Without a task, reports only the task; with an unknown task or method,
        reports nothing. Their defaults would have filled some of the slots."""
        task, method = _name_of(merged.get("task")), merged.get("method")
        if (task and "task" not in chosen) or (method and method.rpartition(":")[2] not in self.known.methods):
            return
        without = capabilities.excluded({kind: tuple(members.values()) for kind, members in chosen.items()})
        for kind in required() if "task" in chosen else ("task",):
            if kind not in chosen and kind not in without and not _name_of(merged.get(kind)):
                self.problems.append(ConfigError(f"`{kind}:` is missing.{self._hint(kind, merged)}"))

    def _hint(self, kind: str, merged: Layer) -> str:
        if kind != "task" and "method" not in merged:
            return f" Set it, or a `method:` whose defaults include it. Methods: {listing(self.known.methods)}."
        return f" Set it to one of: {listing(self.known.components[kind])}."

    def _mismatches(self, parts: capabilities.Parts, merged: Layer) -> list[str]:
        found = capabilities.mismatches(parts, self.known)
        chosen = {kind: members[0] for kind, members in parts.items() if kind in slots() and members}
        for plugin, answer in self.known.discovery.answers("nanogen_check", parts=chosen, config=merged):
            if isinstance(answer, Exception):
                found.append(f"nanogen_check of {plugin.distribution} failed: {type(answer).__name__}: {answer}")
            elif answer is not None and not isinstance(answer, (list, tuple)):
                found.append(f"nanogen_check of {plugin.distribution} must return a list, got {shown(answer)}")
            else:
                found += answer or []
        return found

    def _part(self, kind: str, name: str, chosen: Chosen) -> Part:
        path = kind if kind in slots() else f"{kind}.{name}"
        config = self._config(chosen.component, chosen.options, path)
        return Part(chosen, name, config, self.instances.get((kind, name)))

    def _config(self, component: Component, options: Mapping[str, Any], path: str) -> Any:
        if component.config is None:
            self.problems += [ConfigError(f"{path}.{key}: {component.name!r} takes no options") for key in options]
            return None
        return self._structure(options, attrs_class(component.config), path)

    def _structure(self, values: Mapping[str, Any], into: type[Any], path: str) -> Any:
        try:
            return structure(values, into, path, settable=True)
        except Mistakes as error:
            self.problems += [ConfigError(line) for line in error.lines]
            return None


def _names(merged: Layer) -> list[tuple[str, str]]:
    """Return (kind, name) of every component that a merged layer selects, in order."""
    in_slots = [(kind, name) for kind in slots() if (name := _name_of(merged.get(kind)))]
    in_groups = [(kind, n) for kind in groups() for n, options in merged.get(kind, {}).items() if options is not None]
    return in_slots + in_groups


def _name_of(slot: Any) -> str | None:
    name = slot.get("name") if isinstance(slot, Mapping) else slot
    return name if isinstance(name, str) else None


def _object_name(instance: Any) -> str:
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def _object_component(kind: str, instance: Any) -> Component:
    """Describe an object that a caller gave. Its attributes `provides` and `needs` are optional."""
    provides, needs = getattr(instance, "provides", ()), getattr(instance, "needs", {})
    return Component(kind=kind, name=_object_name(instance), target="", provides=provides, needs=needs)
