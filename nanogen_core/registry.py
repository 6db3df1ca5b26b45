"""From (kind, name) to the component that a plugin offers, with the sentences for names that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from nanogen_core.errors import AmbiguousName, NanoGenError, UnknownName, listing, near_miss, shown
from nanogen_core.plugins import Discovery, Plugin, discover
from nanogen_core.specs import KINDS, Component, Method

Offered = TypeVar("Offered", Component, Method)
CORE = "nanogen-core"
OFFERS = ("nanogen_components", "nanogen_methods")


@frozen
class Offer(Generic[Offered]):
    """Something offered, and the distribution that offers it."""

    what: Offered
    distribution: str

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
class Registry:
    """All offers of the working plugins."""

    plugins: tuple[Plugin, ...]
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
    """The registry of this process, from one scan."""
    return collect(discover())


def collect(discovery: Discovery) -> Registry:
    """Asks every plugin what it offers; one that raises, or offers what is no component, is shown as broken."""
    broken: dict[str, str] = {}
    components = _offers(discovery, OFFERS[0], Component, broken)
    methods = _offers(discovery, OFFERS[1], Method, broken)
    by_kind: dict[str, dict[str, tuple[Offer[Component], ...]]] = {kind: {} for kind in KINDS}
    for offer in components:
        named = by_kind[offer.what.kind]
        named[offer.what.name] = (*named.get(offer.what.name, ()), offer)
    by_name: dict[str, tuple[Offer[Method], ...]] = {}
    for method in methods:
        by_name[method.what.name] = (*by_name.get(method.what.name, ()), method)
    plugins = tuple(evolve(plugin, error=plugin.error or broken.get(_identity(plugin))) for plugin in discovery.plugins)
    recipes, plans = (_files(discovery, hook, broken) for hook in ("nanogen_recipes", "nanogen_plans"))
    return Registry(plugins, by_kind, by_name, recipes, plans, discovery, _lost(discovery, plugins))


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
    for plugin, answer in discovery.answers(hook):
        if not isinstance(answer, Mapping):
            broken[_identity(plugin)] = f"{hook}: {answer!r}"
            continue
        for name, file in answer.items():
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
            found += [Offer(_checked(item, kind), plugin.distribution) for item in _list(answer)]
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
    if isinstance(item, Component) and item.kind not in KINDS:
        raise ValueError(f"component {item.name!r} is of the unknown kind {item.kind!r}")
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
