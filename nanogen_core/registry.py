"""Registry: looks up components, methods and commands of the installed plugins by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen, has

from nanogen_core.errors import AmbiguousName, NanoGenError, UnknownName, listing, near_miss, shown
from nanogen_core.plugins import CORE, Discovery, Plugin, add_manifest, discover, inherited, load_file
from nanogen_core.specs import Component, Kind, Method

Offered = TypeVar("Offered", Component, Method, Kind)
OFFERS = ("nanogen_components", "nanogen_methods")
REFERENCE = re.compile(r"[\w.]+:\w+")  # "package.module:Name"


@frozen
class Offer(Generic[Offered]):
    """A component, method or kind, and the distribution that offers it."""

    what: Offered
    distribution: str
    plugin: str = ""  # `distribution:name` of the plugin

    @property
    def full_name(self) -> str:
        return f"{self.distribution}:{self.what.name}"


@frozen
class Chosen:
    """A component that a configuration selects, with its options as plain values."""

    component: Component
    distribution: str
    options: Mapping[str, Any]


@frozen
class Command:
    """A command of the command line. `target` references a click command: `"module:command"`. `help` is one line."""

    target: str
    help: str
    distribution: str


@frozen
class Registry:
    """Everything that the working plugins offer."""

    plugins: tuple[Plugin, ...]
    kinds: Mapping[str, Kind]
    sections: Mapping[str, str]  # name -> "module:AttrsClass"
    commands: Mapping[str, Command]
    components: Mapping[str, Mapping[str, tuple[Offer[Component], ...]]]  # kind -> name -> offers
    methods: Mapping[str, tuple[Offer[Method], ...]]
    recipes: Mapping[str, str]
    plans: Mapping[str, str]
    discovery: Discovery
    lost: Mapping[str, Plugin]  # component and method names of broken plugins -> the plugin

    def component(self, kind: str, name: str) -> Offer[Component]:
        """Find a component by `"name"` or `"distribution:name"`. Raises UnknownName or AmbiguousName."""
        return self._find(kind, name, self.components.get(kind, {}))

    def method(self, name: str) -> Offer[Method]:
        """Find a method by `"name"` or `"distribution:name"`. Raises UnknownName or AmbiguousName."""
        return self._find("method", name, self.methods)

    def providing(self, kind: str, words: Iterable[str]) -> list[str]:
        """Return the names of the components of a kind that provide all these capabilities."""
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
            raise AmbiguousName(f"{len(found)} distributions offer the {kind} {name!r}: write {choices}.")
        raise UnknownName(self._missing(kind, name, offers))

    def _missing(self, kind: str, name: str, offers: Iterable[str]) -> str:
        """Return the error message for a name that no installed plugin offers."""
        what = f"{kind} {shown(name)}"
        broken = [plugin for plugin in self.plugins if plugin.error]
        named = [p for p in broken if name in (p.name, p.distribution.removeprefix("nanogen-"))]
        if owner := self.lost.get(name.rpartition(":")[2]) or next(iter(named), None):
            return f"{what} belongs to {owner.distribution}, which could not be loaded: {owner.error}"
        if brings := known_distributions().get(name):
            return (
                f"{what} is not installed: run `pip install {brings}`"
                " (reinstall an editable checkout to see its new plugins)."
            )
        reasons = "; ".join(f"{plugin.distribution}: {plugin.error}" for plugin in broken)
        unusable = f" Plugins that could not be loaded: {reasons}" if broken else ""
        hint = f"{near_miss(name, offers)} If a Python file defines it, add `--plugin FILE`."
        return f"There is no {what}.{hint} Installed: {listing(offers)}.{unusable}"


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Return this process's registry, including manifest files in NANOGEN_PLUGIN. It is cached until `register`."""
    for path in inherited():
        _add(_loaded(path))
    return collect(discover())


def register(manifest: ModuleType | str | Path) -> None:
    """Add a plugin without an entry point: `register("my_method.py")` or `register(module)`.

    Call it before building a pipeline.

    Args:
        manifest: A manifest module, or the path of a Python file that is one.

    Raises:
        NanoGenError: The plugin cannot be loaded.
    """
    module = manifest if isinstance(manifest, ModuleType) else _loaded(Path(manifest))
    _add(module)
    registry.cache_clear()
    if broken := next((p for p in registry().plugins if p.module == module.__name__ and p.error), None):
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
        raise NanoGenError(f"Cannot load the plugin {path}: {error}.") from error
    except Exception as error:  # raised by the code in the file
        raise NanoGenError(f"Cannot load the plugin {path}: {type(error).__name__}: {error}. Correct it.") from error


def collect(discovery: Discovery) -> Registry:
    """Call the hooks of all plugins and build the registry. Plugins whose hooks fail are recorded as broken."""
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
    """Return the kinds by name. A plugin that redefines a kind of another plugin is recorded as broken."""
    found: dict[str, Offer[Kind]] = {}
    for offer in _offers(discovery, "nanogen_kinds", Kind, broken):
        first = found.setdefault(offer.what.name, offer)
        if first is not offer:
            sentence = f"nanogen_kinds: {first.distribution} already has the kind {offer.what.name!r}"
            broken[offer.plugin] = sentence
    return {name: offer.what for name, offer in found.items()}


def _components(discovery: Discovery, kinds: Mapping[str, Kind], broken: dict[str, str]) -> list[Offer[Component]]:
    """Return the components. A plugin with a component of an unknown kind is recorded as broken."""
    found = _offers(discovery, OFFERS[0], Component, broken)
    for offer in found:
        if offer.what.kind not in kinds:
            brings = known_distributions().get(offer.what.kind)
            advice = f" (run `pip install {brings}`)" if brings else ""
            broken[offer.plugin] = f"component {offer.what.name!r} has the unknown kind {offer.what.kind!r}{advice}"
    return [offer for offer in found if offer.plugin not in broken]


def _mappings(discovery: Discovery, hook: str, broken: dict[str, str]) -> Iterator[tuple[Plugin, str, Any]]:
    """Yield (plugin, name, value) of the results of a hook that returns a mapping."""
    for plugin, answer in discovery.answers(hook):
        if isinstance(answer, Mapping):
            yield from ((plugin, name, value) for name, value in answer.items())
        else:
            broken[_identity(plugin)] = f"{hook}: expected a mapping, got {answer!r}"


def _sections(discovery: Discovery, kinds: Mapping[str, Kind], broken: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for plugin, name, reference in _mappings(discovery, "nanogen_sections", broken):
        if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
            broken[_identity(plugin)] = f"nanogen_sections: {name!r} must be a string 'module:Class', got {reference!r}"
        elif name in found or name in kinds:
            broken[_identity(plugin)] = f"nanogen_sections: the name {name!r} is taken"
        else:
            found[name] = reference
    return found


def _commands(discovery: Discovery, broken: dict[str, str]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for plugin, verb, value in _mappings(discovery, "nanogen_commands", broken):
        if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(word, str) for word in value):
            broken[_identity(plugin)] = f"nanogen_commands: {verb!r} must be ('module:command', 'help'), got {value!r}"
        elif verb in found:
            broken[_identity(plugin)] = f"nanogen_commands: {found[verb].distribution} already has the command {verb!r}"
        else:
            found[verb] = Command(*value, plugin.distribution)
    return found


def _lost(discovery: Discovery, plugins: Iterable[Plugin]) -> dict[str, Plugin]:
    """Map the component and method names of broken plugins to their plugin, for error messages."""
    broken = {_identity(plugin): plugin for plugin in plugins if plugin.error}
    answers = [pair for hook in OFFERS for pair in discovery.answers(hook) if _identity(pair[0]) in broken]
    return {
        str(item.name): broken[_identity(plugin)]
        for plugin, answer in answers
        if isinstance(answer, Iterable)
        for item in _items_before_error(answer)
        if isinstance(item, (Component, Method))
    }


def _items_before_error(answer: Iterable[Any]) -> list[Any]:
    """Return the items of a hook's result up to the first one that raises."""
    found: list[Any] = []
    with suppress(Exception):
        for item in answer:  # a generator may raise between items
            found.append(item)
    return found


def _files(discovery: Discovery, hook: str, broken: dict[str, str]) -> dict[str, str]:
    """Return the files by name. A name of several distributions is replaced by one `distribution:name` each."""
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
        raise TypeError(f"expected a {kind.__name__}, got {shown(item)}")
    if isinstance(item, Kind):
        return item
    for name in ("target", "config") if isinstance(item, Component) else ():
        reference = getattr(item, name)
        if not isinstance(reference, str) and (name, reference) != ("config", None):
            raise TypeError(f"component {item.name!r}: {name} must be a string 'module:Name', got {shown(reference)}")
    if not isinstance(item.name, str) or not isinstance(item.defaults, Mapping):
        raise TypeError(f"{kind.__name__} {shown(item.name)}: the name must be a string and the defaults a mapping")
    return item


def import_object(reference: str) -> Any:
    """Import the object `"package.module:Name"`. Raises NanoGenError if the import fails."""
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise NanoGenError(f"Cannot import {reference}: {error}.") from error


def attrs_class(reference: str) -> type:
    """Import the attrs class `"module:Class"`. Raises NanoGenError if it is not an attrs class."""
    config = import_object(reference)
    if not isinstance(config, type) or not has(config):
        raise NanoGenError(f"{reference} must be an attrs class. Fix the plugin whose manifest references it.")
    return config


@lru_cache(maxsize=1)
def known_distributions() -> Mapping[str, str]:
    """Map each extra of nanogen-core, such as the name of a component or command, to the package that provides it."""
    from importlib.metadata import PackageNotFoundError, requires  # takes 40 ms; only error messages need it

    try:
        lines = requires(CORE) or []
    except PackageNotFoundError:
        return {}
    pattern = re.compile(r"^([\w.-]+).*extra\s*==\s*['\"]([\w.-]+)['\"]")
    matches = (pattern.match(line) for line in lines)
    return {found[2]: found[1] for found in matches if found and found[2] != "all" and found[1].startswith("nanogen-")}
