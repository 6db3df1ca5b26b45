"""A component by its name, with options: how one part asks for another that its own options name."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, TypeVar

from nanogen_core.conformity import check
from nanogen_core.errors import ConfigError
from nanogen_core.registry import import_object, registry
from nanogen_files.structure import structure

Named = str | Mapping[str, Any]  # `"inception"`, or `{"name": "inception", "weights": "..."}`
Built = TypeVar("Built")

_OPTIONS: dict[int, tuple[Any, Any]] = {}  # id of a part -> a reference that keeps the id its own, its options


def build_named(kind: str, named: Named, *, path: str = "", **parts: Any) -> Any:
    """The component of this kind and name, called as `Class(config, **parts)`; `path` stands before mistakes.

    Raises UnknownName or AmbiguousName for the name, ConfigError for an option or a missing name, and NanoGenError for
    a component that lacks a member of its kind's protocol.
    """
    options = {"name": named} if isinstance(named, str) else dict(named)
    if not isinstance(options.get("name"), str):
        raise ConfigError(f"{path or kind}: give the name of a component of the kind {kind!r}, or a mapping with it.")
    component = registry().component(kind, options.pop("name")).what
    if component.config is None:
        if options:
            raise ConfigError(f"{path or kind}: {component.name!r} takes no options, got {', '.join(sorted(options))}.")
        part, config = import_object(component.target)(**parts), None
    else:
        config = structure(options, import_object(component.config), path)
        part = import_object(component.target)(config, **parts)
    check(kind, part, f"{kind} {component.name!r}")
    return remembered(part, config)


def remembered(part: Built, config: Any) -> Built:
    """The part, after its options were noted for `options_of`."""
    if config is not None:
        number = id(part)
        try:
            kept: Any = weakref.ref(part, lambda _: _OPTIONS.pop(number, None))
        except TypeError:  # an object without weak references
            kept = part
        _OPTIONS[number] = (kept, config)
    return part


def options_of(part: Any) -> Any:
    """The options that a part was built with; None where it has none, or was built elsewhere."""
    return _OPTIONS.get(id(part), (None, None))[1]
