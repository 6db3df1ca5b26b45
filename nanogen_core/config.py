"""Configurations: read from files and recipes, laid over each other, resolved."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from nanogen_core import yaml_files
from nanogen_core.errors import ConfigError, near_miss
from nanogen_core.layers import merge, named
from nanogen_core.registry import Registry, import_object, registry
from nanogen_core.resolution import Resolution
from nanogen_core.resolved import Part, Resolved

__all__ = ["CONFIG", "Part", "Resolved", "combine", "import_object", "load_config", "resolve"]

CONFIG = "config.yaml"  # the resolved configuration of a run or of a saved pipeline, in its folder


def load_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a configuration file, or in the recipe of this name that a plugin ships."""
    if Path(path).is_file():
        return yaml_files.read(path)
    recipes = registry().recipes
    if str(path) in recipes:
        return yaml_files.read(packaged(recipes[str(path)]))
    if not Path(path).suffix and (near := near_miss(str(path), recipes)):
        raise ConfigError(f"There is neither a file nor a recipe {str(path)!r}.{near} `nanogen recipes` lists them.")
    return yaml_files.read(path)  # says why it cannot be read


def packaged(file: str) -> Path:
    """The file `"package:folder/file.yaml"`."""
    package, _, name = file.partition(":")
    origin = import_module(package).__file__
    return Path(str(origin)).parent / name


def combine(config: str | Path | Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration and the keywords that go over it, also over its `per_task` parts, as one mapping that is yet to
    be resolved."""
    raw = load_config(config) if isinstance(config, (str, Path)) else dict(config or {})
    over, parts = named(options), raw.get("per_task")
    if isinstance(parts, Mapping):
        raw = {**raw, "per_task": {task: _under(part, over) for task, part in parts.items()}}
    return merge([named(raw), over])


def _under(part: Any, over: Mapping[str, Any]) -> Any:
    """A `per_task` part with keywords over what it says."""
    if not isinstance(part, Mapping):
        return part  # a mistake, which is told when it is resolved
    return merge([named(part), {key: value for key, value in over.items() if key in part}])


def resolve(raw: Mapping[str, Any], known: Registry | None = None) -> Resolved:
    """The complete configuration. `raw` may hold objects in place of names.

    Raises UnknownName, AmbiguousName, Incompatible or ConfigError; the last one lists several mistakes, each with its
    path in the file.
    """
    return Resolution(raw, known or registry()).result()
