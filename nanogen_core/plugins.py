"""Plugin discovery through entry points. A plugin that fails is recorded as broken and affects no other plugin.

pluggy's loader stops at the first failing plugin and drops a second entry point of the same name, so this module reads
the entry points and registers the manifest modules one by one.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from attrs import frozen

from nanogen_core import hookspecs
from nanogen_files.entry_points import EntryPoint, entry_points

GROUP = "nanogen"
VARIABLE = "NANOGEN_PLUGIN"  # manifest files, separated as in PATH; child processes inherit the variable
CORE = "nanogen-core"  # its hook results come first


@frozen
class Plugin:
    """One plugin. `error` is the reason why it cannot be used, or None."""

    name: str
    distribution: str
    version: str
    module: str
    error: str | None = None


@frozen
class Discovery:
    """All plugins, and the pluggy manager that holds the working ones."""

    plugins: tuple[Plugin, ...]
    manager: pluggy.PluginManager

    def answers(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call a hook and return (plugin, result) pairs, the core first. If a hook raises, its error is the result."""
        by_key = {_key(plugin): plugin for plugin in self.plugins}
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        chosen = [(by_key[impl.plugin_name], impl) for impl in implementations]
        chosen.sort(key=lambda pair: (pair[0].distribution != CORE, _key(pair[0])))
        return [(plugin, _call(impl, arguments)) for plugin, impl in chosen]


def _call(implementation: Any, arguments: dict[str, Any]) -> Any:
    """Return the result of a hook implementation, or the exception that it raised."""
    try:
        return implementation.function(*(arguments[name] for name in implementation.argnames))
    except Exception as error:
        return error


def _key(plugin: Plugin) -> str:
    return f"{plugin.distribution}:{plugin.name}"


class _Manager(pluggy.PluginManager):
    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Skip names of a module without the mark of `hookimpl`, ten times faster than pluggy's search."""
        unmarked = isinstance(plugin, ModuleType) and not hasattr(vars(plugin).get(name), f"{hookspecs.PROJECT}_impl")
        return None if unmarked else super().parse_hookimpl_opts(plugin, name)


@lru_cache(maxsize=1)
def discover() -> Discovery:
    """Load the plugins of the entry points and of `add_manifest`. Their order does not depend on the file system."""
    manager = _Manager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registered = tuple(_register_module(manager, module) for module in _REGISTERED)
    installed = tuple(_register(manager, point) for point in entry_points(GROUP))
    return Discovery((*installed, *registered), manager)


_REGISTERED: list[ModuleType] = []  # manifests without an entry point


def add_manifest(module: ModuleType) -> None:
    """Add a manifest module to the result of `discover`. Raises ValueError for an unsupported NANOGEN_API."""
    _check_api(module)
    if module not in _REGISTERED:
        _REGISTERED.append(module)
    discover.cache_clear()


def load_file(path: Path) -> ModuleType:
    """Import a Python file as the module `path.stem`. Raises ValueError for other files and for names in use."""
    name = path.stem
    if not path.is_file() or path.suffix != ".py" or not name.isidentifier():
        raise ValueError("expected an existing Python file whose name is a Python identifier, such as my_method.py")
    known = sys.modules.get(name)
    origin = getattr(known, "__file__", None) if known else getattr(find_spec(name), "origin", None)
    if (known or origin) and (origin is None or Path(origin).resolve() != path.resolve()):
        raise ValueError(f"the module name {name!r} is taken ({origin or 'built in'}): rename the file")
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
    """Return the manifest files in the environment variable NANOGEN_PLUGIN."""
    return [Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


def _register_module(manager: pluggy.PluginManager, module: ModuleType) -> Plugin:
    plugin = Plugin(module.__name__, module.__name__, "(file)", module.__name__)
    return _added(manager, plugin, module)


def _register(manager: pluggy.PluginManager, point: EntryPoint) -> Plugin:
    plugin = Plugin(point.name, point.distribution, point.version, point.value)
    try:
        module = point.load()
        _check_api(module)
    except Exception as error:
        return _broken(plugin, error)
    return _added(manager, plugin, module)


def _added(manager: pluggy.PluginManager, plugin: Plugin, module: ModuleType) -> Plugin:
    """Register a plugin and return it. A plugin with a misspelt hook is returned as broken and not registered."""
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
    if (stated := getattr(module, "NANOGEN_API", None)) != hookspecs.API:
        needed = f"must have {hookspecs.API}: correct or update the plugin, or update nanogen-core if that is older"
        raise ValueError(f"its manifest has NANOGEN_API = {stated!r}, but {needed}")


def _broken(plugin: Plugin, error: Exception) -> Plugin:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return Plugin(plugin.name, plugin.distribution, plugin.version, plugin.module, reason)
