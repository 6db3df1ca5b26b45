"""From (kind, name) to the component that a plugin offers, with the sentences for names that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from nanogen_core.errors import AmbiguousName, NanoGenError, UnknownName, listing, near_miss, shown
from nanogen_core.plugins import CORE, Discovery, Plugin, add_manifest, discover, inherited, load_file
from nanogen_core.specs import Component, Kind, Method

Offered = TypeVar("Offered", Component, Method, Kind)
OFFERS = ("nanogen_components", "nanogen_methods")
REFERENCE = re.compile(r"[\w.]+:\w+")  # "package.module:Name"


@frozen
class Offer(Generic[Offered]):
    """Something offered, and the distribution that offers it."""

    what: Offered
    distribution: str
    plugin: str = ""  # its identity, `distribution:name`

    @property
    def full_name(self) -> str:
        return f"{self.distribution}:{self.what.name}"


@frozen
class Chosen:
    """A component that the configuration named for a slot, with its options as they were written."""

    component: Component
    distribution: str
    options: Mapping[str, Any]


@frozen
class Command:
    """A verb of the command line: the reference to its click command, a line of help, and its distribution."""

    target: str
    help: str
    distribution: str


@frozen
class Registry:
    """All offers of the working plugins."""

    plugins: tuple[Plugin, ...]
    kinds: Mapping[str, Kind]
    sections: Mapping[str, str]  # name -> "module:AttrsClass"
    commands: Mapping[str, Command]
    components: Mapping[str, Mapping[str, tuple[Offer[Component], ...]]]  # kind -> name -> offers
    methods: Mapping[str, tuple[Offer[Method], ...]]
    recipes: Mapping[str, str]
    plans: Mapping[str, str]
    discovery: Discovery
    lost: Mapping[str, Plugin]  # names that a broken plugin would offer -> that plugin

    def component(self, kind: str, name: str) -> Offer[Component]:
        """The component of this kind; `"distribution:name"` picks one of several. Raises UnknownName, AmbiguousName."""
        return self._find(kind, name, self.components.get(kind, {}))

    def method(self, name: str) -> Offer[Method]:
        """The method of this name. Raises UnknownName, AmbiguousName."""
        return self._find("method", name, self.methods)

    def providing(self, kind: str, words: Iterable[str]) -> list[str]:
        """The names of the components of a kind that provide all these capability words."""
        wanted = set(words)
        offers = self.components.get(kind, {})
        return sorted(name for name, found in offers.items() if any(wanted <= o.what.provides for o in found))

    def _find(self, kind: str, name: str, offers: Mapping[str, tuple[Offer[Offered], ...]]) -> Offer[Offered]:
        distribution, _, short = name.rpartition(":")
        found = [o for o in offers.get(short, ()) if not distribution or o.distribution == distribution]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(repr(offer.full_name) for offer in found)
            raise AmbiguousName(f"{kind} {name!r} is offered by {len(found)} distributions; write {choices}.")
        raise UnknownName(self._missing(kind, name, offers))

    def _missing(self, kind: str, name: str, offers: Iterable[str]) -> str:
        """The sentence for a name that nothing installed has."""
        asked = f"{kind} {shown(name)}"
        broken = [plugin for plugin in self.plugins if plugin.error]
        named = [p for p in broken if name in (p.name, p.distribution.removeprefix("nanogen-"))]
        owner = self.lost.get(name.rpartition(":")[2]) or next(iter(named), None)
        if owner:
            return f"{asked} belongs to {owner.distribution}, which could not be loaded: {owner.error}"
        brings = known_distributions().get(name)
        if brings:
            return (
                f"{asked} is not installed: `pip install {brings}` brings it"
                " (a checkout that is installed in editable mode must be installed again to show a new plugin)."
            )
        reasons = "; ".join(f"{plugin.distribution}: {plugin.error}" for plugin in broken)
        unusable = f" Plugins that could not be loaded: {reasons}" if broken else ""
        return f"There is no {asked}.{near_miss(name, offers)} Installed: {listing(offers)}.{unusable}"


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The registry of this process, from one scan, with the manifest files that the environment names."""
    for path in inherited():
        _add(_loaded(path))
    return collect(discover())


def register(manifest: ModuleType | str | Path) -> None:
    """Adds a plugin that no entry point names: a manifest module, or a Python file that is one.

    Call it before anything is built. Raises NanoGenError that says what is wrong with the plugin.
    """
    module = manifest if isinstance(manifest, ModuleType) else _loaded(Path(manifest))
    _add(module)
    registry.cache_clear()
    broken = next((p for p in registry().plugins if p.module == module.__name__ and p.error), None)
    if broken:
        raise NanoGenError(f"The plugin {module.__name__} cannot be used: {broken.error}.")


def _add(module: ModuleType) -> None:
    try:
        add_manifest(module)
    except ValueError as error:
        raise NanoGenError(f"The plugin {module.__name__} cannot be used: {error}.") from error


def _loaded(path: Path) -> ModuleType:
    try:
        return load_file(path)
    except ValueError as error:
        raise NanoGenError(f"The plugin file {path} cannot be loaded: {error}.") from error
    except Exception as error:  # whatever the file's own code raises
        raise NanoGenError(f"The plugin file {path} cannot be loaded: {type(error).__name__}: {error}.") from error


def collect(discovery: Discovery) -> Registry:
    """Asks every plugin what it offers. One that raises, or offers something wrong, is shown as broken."""
    broken: dict[str, str] = {}
    kinds = _kinds(discovery, broken)
    components = _components(discovery, kinds, broken)
    methods = _offers(discovery, OFFERS[1], Method, broken)
    by_kind: dict[str, dict[str, tuple[Offer[Component], ...]]] = {kind: {} for kind in kinds}
    for offer in components:
        named = by_kind[offer.what.kind]
        named[offer.what.name] = (*named.get(offer.what.name, ()), offer)
    by_name: dict[str, tuple[Offer[Method], ...]] = {}
    for method in methods:
        by_name[method.what.name] = (*by_name.get(method.what.name, ()), method)
    recipes, plans = (_files(discovery, hook, broken) for hook in ("nanogen_recipes", "nanogen_plans"))
    sections, commands = _sections(discovery, kinds, broken), _commands(discovery, broken)
    plugins = tuple(evolve(plugin, error=plugin.error or broken.get(_identity(plugin))) for plugin in discovery.plugins)
    lost = _lost(discovery, plugins)
    return Registry(plugins, kinds, sections, commands, by_kind, by_name, recipes, plans, discovery, lost)


def _kinds(discovery: Discovery, broken: dict[str, str]) -> dict[str, Kind]:
    """The kinds by name. A plugin that brings one of another plugin again is broken."""
    found: dict[str, Offer[Kind]] = {}
    for offer in _offers(discovery, "nanogen_kinds", Kind, broken):
        first = found.setdefault(offer.what.name, offer)
        if first is not offer:
            sentence = f"nanogen_kinds: {first.distribution} brings the kind {offer.what.name!r} already"
            broken[offer.plugin] = sentence
    return {name: offer.what for name, offer in found.items()}


def _components(discovery: Discovery, kinds: Mapping[str, Kind], broken: dict[str, str]) -> list[Offer[Component]]:
    """The components of working plugins. A component of an unknown kind makes its plugin a broken one."""
    found = _offers(discovery, OFFERS[0], Component, broken)
    for offer in found:
        if offer.what.kind not in kinds:
            brings = known_distributions().get(offer.what.kind)
            advice = f" (`pip install {brings}` brings it)" if brings else ""
            broken[offer.plugin] = f"component {offer.what.name!r} is of the unknown kind {offer.what.kind!r}{advice}"
    return [offer for offer in found if offer.plugin not in broken]


def _mappings(discovery: Discovery, hook: str, broken: dict[str, str]) -> Iterator[tuple[Plugin, str, Any]]:
    """(plugin, name, value) of every answer to a hook that asks for a mapping."""
    for plugin, answer in discovery.answers(hook):
        if isinstance(answer, Mapping):
            yield from ((plugin, name, value) for name, value in answer.items())
        else:
            broken[_identity(plugin)] = f"{hook}: expected a mapping, got {answer!r}"


def _sections(discovery: Discovery, kinds: Mapping[str, Kind], broken: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for plugin, name, reference in _mappings(discovery, "nanogen_sections", broken):
        if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
            broken[_identity(plugin)] = f"nanogen_sections: {name!r} must be a text 'module:Class', not {reference!r}"
        elif name in found or name in kinds:
            broken[_identity(plugin)] = f"nanogen_sections: the name {name!r} is taken"
        else:
            found[name] = reference
    return found


def _commands(discovery: Discovery, broken: dict[str, str]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for plugin, verb, value in _mappings(discovery, "nanogen_commands", broken):
        if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(word, str) for word in value):
            broken[_identity(plugin)] = f"nanogen_commands: {verb!r} must be ('module:command', 'help'), not {value!r}"
        elif verb in found:
            broken[_identity(plugin)] = f"nanogen_commands: {found[verb].distribution} brings the verb {verb!r} already"
        else:
            found[verb] = Command(*value, plugin.distribution)
    return found


def _lost(discovery: Discovery, plugins: Iterable[Plugin]) -> dict[str, Plugin]:
    """The names of what plugins would offer that are broken for another of their offers."""
    broken = {_identity(plugin): plugin for plugin in plugins if plugin.error}
    answers = [pair for hook in OFFERS for pair in discovery.answers(hook) if _identity(pair[0]) in broken]
    return {
        str(item.name): broken[_identity(plugin)]
        for plugin, answer in answers
        if isinstance(answer, Iterable)
        for item in _whole(answer)
        if isinstance(item, (Component, Method))
    }


def _whole(answer: Iterable[Any]) -> list[Any]:
    """The items of a plugin's answer, up to the first one that cannot be made."""
    found: list[Any] = []
    with suppress(Exception):
        for item in answer:  # a generator may raise in its middle
            found.append(item)
    return found


def _files(discovery: Discovery, hook: str, broken: dict[str, str]) -> dict[str, str]:
    """The files by name; where several distributions have a name, each by `distribution:name` alone."""
    by_name: dict[str, dict[str, str]] = {}
    for plugin, name, file in _mappings(discovery, hook, broken):
        by_name.setdefault(name, {})[f"{plugin.distribution}:{name}"] = file
    return {
        (name if len(files) == 1 else full): file for name, files in by_name.items() for full, file in files.items()
    }


def _identity(plugin: Plugin) -> str:
    return f"{plugin.distribution}:{plugin.name}"


def _offers(discovery: Discovery, hook: str, kind: type[Offered], broken: dict[str, str]) -> list[Offer[Offered]]:
    found: list[Offer[Offered]] = []
    for plugin, answer in discovery.answers(hook):
        try:
            found += [Offer(_checked(item, kind), plugin.distribution, _identity(plugin)) for item in _list(answer)]
        except Exception as error:
            broken[_identity(plugin)] = f"{hook}: {type(error).__name__}: {error}"
    return found


def _list(answer: Any) -> list[Any]:
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


def _checked(item: Any, kind: type[Offered]) -> Offered:
    if not isinstance(item, kind):
        raise TypeError(f"{shown(item)} is no {kind.__name__}")
    if isinstance(item, Kind):
        return item
    for name in ("target", "config") if isinstance(item, Component) else ():
        reference = getattr(item, name)
        if not isinstance(reference, str) and (name, reference) != ("config", None):
            raise TypeError(f"component {item.name!r}: {name} must be a text 'module:Name', not {shown(reference)}")
    if not isinstance(item.name, str) or not isinstance(item.defaults, Mapping):
        raise TypeError(f"{kind.__name__} {shown(item.name)}: the name must be a text and the defaults a mapping")
    return item


def import_object(reference: str) -> Any:
    """The object that `"package.module:Name"` names. Raises NanoGenError where the import fails."""
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise NanoGenError(f"Cannot import {reference}: {error}.") from error


@lru_cache(maxsize=1)
def known_distributions() -> Mapping[str, str]:
    """Names that are known though not installed, and what brings them: from the extras of nanogen-core's metadata."""
    try:
        lines = requires(CORE) or []
    except PackageNotFoundError:
        return {}
    pattern = re.compile(r"^([\w.-]+).*extra\s*==\s*['\"]([\w.-]+)['\"]")
    matches = (pattern.match(line) for line in lines)
    return {found[2]: found[1] for found in matches if found and found[2] != "all" and found[1].startswith("nanogen-")}
