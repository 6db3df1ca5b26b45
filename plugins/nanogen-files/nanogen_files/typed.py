"""Convert values typed on the command line to the types of their options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from nanogen_files import yaml_files
from nanogen_files.errors import ConfigError, shown

NULL = "null"
_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(([0-9][0-9_]*)?\.?[0-9][0-9_]*|[0-9][0-9_]*\.)([eE][-+]?[0-9]+)?|[-+]?\.?inf|\.?nan", re.I)
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Typed(str):
    """Value of `--set KEY=VALUE`. Stays a string until the type of its option is known."""

    __slots__ = ()


def read(value: Any, kind: Any) -> Any:
    """Convert every `Typed` in a value to the type of its option.

    A string option keeps the text as typed. `null` is None if the option allows None. A text that does not fit the type
    stays a string, which the later type check rejects.

    Args:
        value: Plain value with `Typed` strings.
        kind: Type annotation of the option.

    Raises:
        ConfigError: The value has more parts or levels than a configuration may have.
    """
    _check_extent(value)
    return _read(value, kind)


def read_options(options: Mapping[str, Any], config: type) -> dict[str, Any]:
    """Convert the `Typed` options of a component to the types of the fields of its attrs class `config`."""
    return {name: read(value, _value_type(config, name)) for name, value in options.items()}


def opened(value: Any) -> Any:
    """Parse a `Typed` text that is a YAML list or mapping, such as `{name: heun, steps: 5}`.

    Its unquoted items become `Typed`. Any other value is returned unchanged.
    """
    if isinstance(value, Typed) and value.lstrip().startswith(("{", "[")):
        return yaml_files.flow(value, f"--set: {shown(str(value))}", Typed)
    return value


def _check_extent(value: Any) -> None:
    """Raise ConfigError if a value has too many parts. Shared parts count each time they occur."""
    todo, values = [(value, 0)], 0
    while todo:
        part, depth = todo.pop()
        values += 1
        if depth > yaml_files.DEPTH:
            raise ConfigError(f"lists and mappings are nested more than {yaml_files.DEPTH} levels deep: flatten them")
        if values > yaml_files.VALUES:
            raise ConfigError(f"lists and mappings hold more than {yaml_files.VALUES:,} values: use fewer")
        if isinstance(part, (Mapping, list, tuple)):
            todo += [(item, depth + 1) for item in (part.values() if isinstance(part, Mapping) else part)]


def _read(value: Any, kind: Any) -> Any:
    if isinstance(value, Typed):
        return _typed(value, kind)
    if isinstance(value, Mapping):
        return {key: _read(item, _value_type(kind, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_read(item, _item_type(kind)) for item in value]
    return value


def _typed(text: Typed, kind: Any) -> Any:
    kinds = _kinds(kind)
    if NoneType in kinds and text == NULL:
        return None
    if str in kinds:
        return str(text)
    for each in kinds:
        converted = _converted(text, each)
        if converted is not text:
            return converted
    return str(text)


def _converted(text: Typed, kind: Any) -> Any:
    """Convert the text to this type. Return the text itself if it does not fit."""
    origin = get_origin(kind) or kind
    if kind is bool:
        return _TRUTH.get(text.lower(), text)
    if kind is int:
        return int(text.replace("_", "")) if _INT.fullmatch(text) and len(text) < 100 else text
    if kind is float:
        return _number(text) if _FLOAT.fullmatch(text) else text
    if origin is Literal:
        return next((choice for choice in get_args(kind) if str(choice) == text), text)
    if kind is Any:
        return _untyped(text)
    if attrs.has(origin) or (isinstance(origin, type) and issubclass(origin, (list, tuple, Mapping))):
        converted = opened(text)
        return text if converted is text else _read(converted, kind)
    return text


def _number(text: str) -> float:
    """Convert a number in YAML's spelling, such as `.inf`."""
    return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))


def _untyped(text: Typed) -> Any:
    converted = opened(text)
    return yaml_files.scalar(str(text)) if converted is text else _read(converted, Any)


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _value_type(kind: Any, key: Any) -> Any:
    """Return the value type of a mapping type, or of an attrs class's field."""
    for each in _kinds(kind):
        if attrs.has(each):
            attrs.resolve_types(each)
            return next((field.type for field in attrs.fields(each) if field.name == key), Any)
        arguments = get_args(each)
        if len(arguments) == 2 and get_origin(each) is not tuple and get_origin(each) is not Literal:
            return arguments[1]
    return Any


def _item_type(kind: Any) -> Any:
    """Return the item type of a list or tuple type."""
    for each in _kinds(kind):
        if get_origin(each) in (tuple, list):
            return get_args(each)[0]
    return Any
