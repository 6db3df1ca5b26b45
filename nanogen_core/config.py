"""Configurations: read from files and recipes, laid over each other, resolved."""

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

__all__ = ["CONFIG", "Part", "Resolved", "combine", "import_object", "layered", "load_config", "resolve"]

CONFIG = "config.yaml"  # the resolved configuration of a run or of a saved pipeline, in its folder


def load_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a configuration file, or in the recipe of this name that a plugin ships."""
    if is_file(path):
        return yaml_files.read(path)
    recipes = registry().recipes
    if str(path) in recipes:
        return yaml_files.read(packaged(recipes[str(path)]))
    if not Path(path).suffix and (near := near_miss(str(path), recipes)):
        raise ConfigError(f"There is neither a file nor a recipe {str(path)!r}.{near} `nanogen recipes` lists them.")
    try:
        return yaml_files.read(path)  # says why it cannot be read
    except ConfigError as error:
        raise ConfigError(f"{error} Name a YAML file or a recipe; `nanogen recipes` lists the recipes.") from error


def is_file(path: str | Path) -> bool:
    """Whether a file of this name is there; no file has a name that is too long, or holds a zero byte."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def packaged(file: str) -> Path:
    """The file `"package:folder/file.yaml"`. Raises ConfigError where the package cannot be imported."""
    package, _, name = file.partition(":")
    try:
        origin = import_module(package).__file__
    except (ImportError, ValueError) as error:
        raise ConfigError(f"Cannot import {package}, which brings the file {name}: {error}.") from error
    return Path(str(origin)).parent / name


def layered(config: str | Path | Mapping[str, Any] | None, *over: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """A configuration (a file, a recipe's name or a mapping) and what goes over it, as layers for `resolve`."""
    below = load_config(config) if isinstance(config, (str, Path)) else {} if config is None else config
    for layer in (below, *over):
        if not isinstance(layer, Mapping):
            raise ConfigError(f"A configuration is a file, a recipe's name or a mapping, not {shown(layer)}.")
    return (below, *over)


def combine(config: str | Path | Mapping[str, Any] | None, *over: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration and what goes over it as one mapping, for the task that they name: `per_task` is laid in.

    Without a task, each `per_task` part of the answer holds all that is said for its task. Raises ConfigError.
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
    """The complete configuration of what users wrote, later layers over earlier ones. A layer is the content of a
    file, keywords, or what `--set` says; it may hold objects in place of names.

    Options follow the name: one that was written for another component stays where the component that is named last has
    an option of the same name and type. A ConfigWarning says which stay and which are dropped.

    Raises UnknownName, AmbiguousName, Incompatible or ConfigError; the last one lists several mistakes, each with its
    path in the file.
    """
    return Resolution(layers, known or registry()).result()
