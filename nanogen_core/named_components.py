"""Builds components that another component's options select by name, such as the teacher of an auxiliary loss."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, TypeVar

from nanogen_core.errors import ConfigError
from nanogen_core.protocol_check import check
from nanogen_core.registry import import_object, registry
from nanogen_files.structure import structure

Named = str | Mapping[str, Any]  # `"inception"`, or `{"name": "inception", "weights": "..."}`
Built = TypeVar("Built")

_OPTIONS: dict[int, tuple[Any, Any]] = {}  # id of a part -> (weak reference to the part, its options)


def build_named(kind: str, named: Named, *, path: str = "", **parts: Any) -> Any:
    """Build the component `Class(config, **parts)` of a kind: `build_named("features", "inception")`.

    Args:
        kind: Kind of the component.
        named: Its name, or a mapping with `name` and its options.
        path: Configuration path that error messages name, such as "metric.fid.features".
        parts: Keyword arguments of the constructor.

    Raises:
        UnknownName, AmbiguousName: No component, or several, have this name.
        ConfigError: The name is missing or an option is wrong.
        NanoGenError: The component lacks a member of its kind's protocol.
    """
    options = {"name": named} if isinstance(named, str) else dict(named)
    if not isinstance(options.get("name"), str):
        raise ConfigError(f"{path or kind}: expected the name of a {kind} component or a mapping with a `name`.")
    component = registry().component(kind, options.pop("name")).what
    if component.config is None:
        if options:
            raise ConfigError(f"{path or kind}: {component.name!r} takes no options, got {', '.join(sorted(options))}.")
        part, config = import_object(component.target)(**parts), None
    else:
        config = structure(options, import_object(component.config), path, settable=bool(path))
        part = import_object(component.target)(config, **parts)
    check(kind, part, f"{kind} {component.name!r}")
    return record_options(part, config)


def record_options(part: Built, config: Any) -> Built:
    """Record the options of a part for `options_of`, and return the part."""
    if config is not None:
        number = id(part)
        try:
            kept: Any = weakref.ref(part, lambda _: _OPTIONS.pop(number, None))
        except TypeError:  # its class does not support weak references
            kept = part
        _OPTIONS[number] = (kept, config)
    return part


def options_of(part: Any) -> Any:
    """Return the options that a part was built with; None if it has none or was not built from a configuration."""
    return _OPTIONS.get(id(part), (None, None))[1]
