"""Loads configurations from files and recipes, merges their layers and resolves them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from nanogen_core.config_layers import Given, Layer
from nanogen_core.errors import ConfigError, near_miss, shown
from nanogen_core.registry import Registry, import_object, registry
from nanogen_core.resolution import Resolution
from nanogen_core.resolved import Part, Resolved
from nanogen_files import yaml_files
from nanogen_files.reading import is_file

__all__ = ["CONFIG", "Part", "Resolved", "combine", "import_object", "layered", "load_config", "resolve"]

CONFIG = "config.yaml"  # file of the resolved configuration in the folder of a run or saved pipeline


def load_config(path: str | Path) -> dict[str, Any]:
    """Read a YAML configuration file, or the installed recipe with this name."""
    if is_file(Path(path)):
        return yaml_files.read(path)
    recipes = registry().recipes
    if str(path) in recipes:
        return yaml_files.read(packaged(recipes[str(path)]))
    if not Path(path).suffix and (near := near_miss(str(path), recipes)):
        raise ConfigError(f"There is no file and no recipe {str(path)!r}.{near} `nanogen recipes` lists the recipes.")
    try:
        return yaml_files.read(path)  # raises with the reason
    except ConfigError as error:
        raise ConfigError(f"{error} Give a YAML file or a recipe; `nanogen recipes` lists the recipes.") from error


def packaged(file: str) -> Path:
    """Return the path of `"package:folder/file.yaml"`. Raises ConfigError if the package cannot be imported."""
    package, _, name = file.partition(":")
    try:
        origin = import_module(package).__file__
    except (ImportError, ValueError) as error:
        raise ConfigError(f"Cannot import {package}, which contains {name}: {error}. Reinstall its plugin.") from error
    return Path(str(origin)).parent / name


def layered(config: str | Path | Mapping[str, Any] | None, *over: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Load a configuration (file, recipe name or mapping) and return it with its overrides, as layers for `resolve`."""
    below = load_config(config) if isinstance(config, (str, Path)) else {} if config is None else config
    for layer in (below, *over):
        if not isinstance(layer, Mapping):
            raise ConfigError(f"A configuration must be a file, a recipe name or a mapping, got {shown(layer)}.")
    return (below, *over)


def combine(config: str | Path | Mapping[str, Any] | None, *over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a configuration and its overrides into one mapping, without the defaults of components.

    The `per_task` section of the selected task is merged in. If no task is selected, each section of the result's
    `per_task` holds the complete merged configuration for its task. Raises ConfigError for a malformed layer.
    """
    layers = layered(config, *over)
    resolution = Resolution(layers, registry())
    combined = resolution.written()
    if "task" not in combined:
        parts = [layer["per_task"] for layer in layers if isinstance(layer.get("per_task"), Mapping)]
        tasks = dict.fromkeys(task for part in parts for task in part)
        combined |= {"per_task": {task: _plain(resolution.written(task)) for task in tasks}} if tasks else {}
    resolution.stop_at_problems()
    return _plain(combined)


def _plain(layer: Layer) -> dict[str, Any]:
    return {key: value.instance if isinstance(value, Given) else value for key, value in layer.items()}


def resolve(*layers: Mapping[str, Any], known: Registry | None = None) -> Resolved:
    """Resolve layers to a complete configuration: `resolve({"method": "vae", "task": "t2i"}, {"seed": 1})`.

    If a later layer selects another component for a slot, options that were set for the former one are kept if both
    components have an option of that name and type, and dropped otherwise. A ConfigWarning lists them.

    Args:
        layers: Contents of files, keyword arguments or `--set` options. Later layers override earlier ones. A slot may
            hold an object instead of a name.
        known: The registry; by default the one of the installed plugins.

    Raises:
        UnknownName, AmbiguousName: No component or method has a selected name, or several have it.
        Incompatible: The components cannot be combined.
        ConfigError: An option is wrong, or there are several mistakes of any kind. The message lists them.
    """
    return Resolution(layers, known or registry()).result()
