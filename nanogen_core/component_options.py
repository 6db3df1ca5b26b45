"""The classes of components' options: what an option's type is, and what it makes of a typed value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import attrs

from nanogen_core.config_layers import Layer
from nanogen_core.errors import ConfigError, NanoGenError
from nanogen_core.kinds import slots
from nanogen_core.registry import Registry, import_object
from nanogen_files.typed import read_options


def attrs_class(reference: str) -> type:
    """The class that `"module:Class"` names. Raises NanoGenError for one of another sort: a mistake of its plugin."""
    config = import_object(reference)
    if not isinstance(config, type) or not attrs.has(config):
        raise NanoGenError(f"{reference} is no attrs class: a mistake of the plugin whose component names it.")
    return config


def config_class(known: Registry, kind: str, name: str) -> type | None:
    """The class of a component's options; None where it has none, and for a name that leads nowhere."""
    try:
        reference = known.component(kind, name).what.config
    except NanoGenError:
        return None
    return None if reference is None else attrs_class(reference)


def shared(known: Registry, kind: str, old: str, new: str, option: str) -> bool:
    """Whether two components of a kind have an option of this name and of one type."""
    before, after = (_type(config_class(known, kind, name), option) for name in (old, new))
    return before is not None and before == after


def typed(merged: Layer, names: Sequence[tuple[str, str]], known: Registry) -> Layer:
    """A merged layer whose components' options are read by their types, where they were typed on the command line."""
    result = dict(merged)
    for kind, name in names:
        config = config_class(known, kind, name)
        if config is not None and kind in slots():
            result[kind] = read(merged[kind], config)
        elif config is not None:
            result[kind] = {**result[kind], name: read(merged[kind][name], config)}
    return result


def read(options: Mapping[str, Any], config: type) -> Layer:
    """The options as their types read them. What cannot be read stays, and `structure` says what is wrong with it."""
    try:
        return read_options(options, config)
    except ConfigError:
        return dict(options)


def _type(config: type | None, option: str) -> Any:
    """The type of an option; where it lists its choices, that of the choices."""
    if config is None:
        return None
    attrs.resolve_types(config)
    found = next((field.type for field in attrs.fields(config) if field.name == option), None)
    choices = {type(choice) for choice in get_args(found)} if get_origin(found) is Literal else set()
    return choices.pop() if len(choices) == 1 else found
