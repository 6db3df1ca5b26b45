"""Discovery: finds the plugins through entry points, each in its own try. A broken one is recorded, never raised.

pluggy's own loader stops at the first plugin that fails and drops a second distribution with an equal entry-point
name, so the entry points are read here and the modules registered one by one.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from attrs import frozen

from nanogen_core import hookspecs

GROUP = "nanogen"
VARIABLE = "NANOGEN_PLUGIN"  # Python files that are manifests, separated like those of PATH; child processes inherit it
CORE = "nanogen-core"  # its answers come first


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
        """Each plugin's own answer to a hook, the core's first. `collect` records a plugin that raises as broken."""
        by_key = {_key(plugin): plugin for plugin in self.plugins}
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        chosen = [(by_key[impl.plugin_name], impl) for impl in implementations]
        chosen.sort(key=lambda pair: (pair[0].distribution != CORE, _key(pair[0])))
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
    registered = tuple(_register_module(manager, module) for module in _REGISTERED)
    points = sorted((_origin(point), point.name, point.value, point) for point in entry_points(group=GROUP))
    installed = tuple(_register(manager, origin, point) for origin, _, _, point in points)
    return Discovery((*installed, *registered), manager)


_REGISTERED: list[ModuleType] = []  # manifests that no entry point names


def add_manifest(module: ModuleType) -> None:
    """Adds a manifest to what `discover` finds. Raises ValueError where it is none."""
    _check_api(module)
    if module not in _REGISTERED:
        _REGISTERED.append(module)
    discover.cache_clear()


def load_file(path: Path) -> ModuleType:
    """The module of a Python file, under the file's name. Raises ValueError where another module has that name."""
    name = path.stem
    if not path.is_file() or path.suffix != ".py" or not name.isidentifier():
        raise ValueError("it must be a Python file whose name is a Python name, such as my_method.py")
    known = sys.modules.get(name)
    origin = getattr(known, "__file__", None) if known else getattr(find_spec(name), "origin", None)
    if (known or origin) and (origin is None or Path(origin).resolve() != path.resolve()):
        raise ValueError(f"another module is called {name!r} ({origin or 'built in'}): rename the file")
    if known:
        return known
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def inherited() -> list[Path]:
    """The manifest files that the environment names."""
    return [Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


def _origin(point: EntryPoint) -> tuple[str, str]:
    """The distribution's name and version, from the first lines of its metadata: parsing it whole takes ten times as
    long, for the README that it holds."""
    if point.dist is None:
        return "unknown", "unknown"
    head = (point.dist.read_text("METADATA") or "").partition("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if line.startswith(("Name: ", "Version: ")))
    return fields.get("Name", "unknown"), fields.get("Version", "unknown")


def _register_module(manager: pluggy.PluginManager, module: ModuleType) -> Plugin:
    plugin = Plugin(module.__name__, module.__name__, "not installed", module.__name__)
    return _added(manager, plugin, module)


def _register(manager: pluggy.PluginManager, origin: tuple[str, str], point: EntryPoint) -> Plugin:
    plugin = Plugin(point.name, *origin, point.value)
    try:
        module = point.load()
        _check_api(module)
    except Exception as error:
        return _broken(plugin, error)
    return _added(manager, plugin, module)


def _added(manager: pluggy.PluginManager, plugin: Plugin, module: ModuleType) -> Plugin:
    """The plugin, in the manager; with its error where a hook is misspelt, which refuses this plugin alone."""
    try:
        manager.register(module, name=_key(plugin))
    except Exception as error:
        return _broken(plugin, error)
    try:
        manager.check_pending()
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
