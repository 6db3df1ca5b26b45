"""Looks up the option classes of components, and converts text values to the types of their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import attrs

from nanogen_core.config_layers import Layer
from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_core.kinds import slots
from nanogen_core.registry import Registry, attrs_class
from nanogen_files.typed import read_options


def config_class(known: Registry, kind: str, name: str) -> type | None:
    """Return the options class of a component. None if it has no options, or its name is unknown or ambiguous."""
    try:
        reference = known.component(kind, name).what.config
    except NanoGenError:
        return None
    return None if reference is None else attrs_class(reference)


def shared(known: Registry, kind: str, old: str, new: str, option: str) -> bool:
    """Return whether the components `old` and `new` of a kind both have this option, with the same type."""
    before, after = (_type(config_class(known, kind, name), option) for name in (old, new))
    return before is not None and before == after


def typed(merged: Layer, names: Sequence[tuple[str, str]], known: Registry) -> Layer:
    """Convert command-line strings in a merged layer to option types. `names` lists its components as (kind, name)."""
    result = dict(merged)
    for kind, name in names:
        config = config_class(known, kind, name)
        if config is not None and kind in slots():
            result[kind] = read(merged[kind], config)
        elif config is not None:
            result[kind] = {**result[kind], name: read(merged[kind][name], config)}
    return result


def read(options: Mapping[str, Any], config: type) -> Layer:
    """Convert text values to option types. If one is invalid, return all unchanged: `structure` reports it later."""
    try:
        return read_options(options, config)
    except ConfigError:
        return dict(options)


def _type(config: type | None, option: str) -> Any:
    """Return the type of an option. For a `Literal`, that is the type of its choices."""
    if config is None:
        return None
    attrs.resolve_types(config)
    found = next((field.type for field in attrs.fields(config) if field.name == option), None)
    choices = {type(choice) for choice in get_args(found)} if get_origin(found) is Literal else set()
    return choices.pop() if len(choices) == 1 else found
