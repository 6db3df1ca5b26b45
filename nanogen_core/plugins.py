"""Discovery: finds the plugins through entry points, each in its own try. A broken one is recorded, never raised.

pluggy's own loader stops at the first plugin that fails and drops a second distribution with an equal entry-point
name, so the entry points are read here and the modules registered one by one.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy
from attrs import frozen

from nanogen_core import hookspecs

GROUP = "nanogen"


@frozen
class Plugin:
    """One entry point: `error` is why it could not be used, or None."""

    name: str
    distribution: str
    version: str
    module: str
    error: str | None = None


@frozen
class Discovery:
    """What was found: every plugin, and the pluggy manager with those that work."""

    plugins: tuple[Plugin, ...]
    manager: pluggy.PluginManager

    def answers(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Each plugin's own answer to a hook; a plugin that raises is recorded as broken by `collect`."""
        by_key = {_key(plugin): plugin for plugin in self.plugins}
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        chosen = [(by_key[impl.plugin_name], impl) for impl in implementations]
        chosen.sort(key=lambda pair: _key(pair[0]))
        return [(plugin, _call(impl, arguments)) for plugin, impl in chosen]


def _call(implementation: Any, arguments: dict[str, Any]) -> Any:
    """The hook's result, or the exception that it raised (the caller decides what that means)."""
    try:
        return implementation.function(*(arguments[name] for name in implementation.argnames))
    except Exception as error:
        return error


def _key(plugin: Plugin) -> str:
    return f"{plugin.distribution}:{plugin.name}"


@lru_cache(maxsize=1)
def discover() -> Discovery:
    """Scans the installed distributions once per process, sorted, so that the order never depends on the disk."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    points = sorted((_origin(point), point.name, point.value, point) for point in entry_points(group=GROUP))
    return Discovery(tuple(_register(manager, origin, point) for origin, _, _, point in points), manager)


def _origin(point: EntryPoint) -> tuple[str, str]:
    """The distribution's name and version, from the first lines of its metadata: parsing it whole takes ten times as
    long, for the README that it holds."""
    if point.dist is None:
        return "unknown", "unknown"
    head = (point.dist.read_text("METADATA") or "").partition("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if line.startswith(("Name: ", "Version: ")))
    return fields.get("Name", "unknown"), fields.get("Version", "unknown")


def _register(manager: pluggy.PluginManager, origin: tuple[str, str], point: EntryPoint) -> Plugin:
    plugin = Plugin(point.name, *origin, point.value)
    try:
        module = point.load()
        _check_api(module)
        manager.register(module, name=_key(plugin))
    except Exception as error:
        return _broken(plugin, error)
    try:
        manager.check_pending()  # a misspelt hook: refuse this plugin alone
    except Exception as error:
        manager.unregister(name=_key(plugin))
        return _broken(plugin, error)
    return plugin


def _check_api(module: ModuleType) -> None:
    stated = getattr(module, "NANOGEN_API", None)
    if stated != hookspecs.API:
        raise ValueError(f"its manifest states NANOGEN_API = {stated!r}, this nanogen-core needs {hookspecs.API}")


def _broken(plugin: Plugin, error: Exception) -> Plugin:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return Plugin(plugin.name, plugin.distribution, plugin.version, plugin.module, reason)
