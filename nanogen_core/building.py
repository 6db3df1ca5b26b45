"""A component by its name, with options: how one part asks for another that its own options name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanogen_core.errors import ConfigError
from nanogen_core.registry import import_object, registry
from nanogen_core.structure import structure

Named = str | Mapping[str, Any]  # `"inception"`, or `{"name": "inception", "weights": "..."}`


def build_named(kind: str, named: Named, *, path: str = "", **parts: Any) -> Any:
    """The component of this kind and name, called as `Class(config, **parts)`; `path` stands before mistakes.

    Raises UnknownName or AmbiguousName for the name, ConfigError for an option or a missing name.
    """
    options = {"name": named} if isinstance(named, str) else dict(named)
    if not isinstance(options.get("name"), str):
        raise ConfigError(f"{path or kind}: give the name of a component of the kind {kind!r}, or a mapping with it.")
    component = registry().component(kind, options.pop("name")).what
    if component.config is None:
        if options:
            raise ConfigError(f"{path or kind}: {component.name!r} takes no options, got {', '.join(sorted(options))}.")
        return import_object(component.target)(**parts)
    return import_object(component.target)(structure(options, import_object(component.config), path), **parts)
