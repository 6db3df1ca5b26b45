"""Values as they were typed on the command line, read by the type of their option."""

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
    """What was typed after `--set KEY=`. A text until the type of its option is known."""

    __slots__ = ()


def read(value: Any, kind: Any) -> Any:
    """The value with every `Typed` in it read as what `kind` asks for, or as a text where it is nothing of the kind.

    A text option takes all that was typed. `null` is none where the option may have no value. Raises ConfigError for a
    value of more parts than a configuration can have.
    """
    _check_extent(value)
    return _read(value, kind)


def read_options(options: Mapping[str, Any], config: type) -> dict[str, Any]:
    """The options of a component whose options are a `config`."""
    return {name: read(value, _of_value(config, name)) for name, value in options.items()}


def opened(value: Any) -> Any:
    """A list or mapping that was typed as such (`{name: heun, steps: 5}`), or the value itself."""
    if isinstance(value, Typed) and value.lstrip().startswith(("{", "[")):
        return yaml_files.flow(value, f"--set: {shown(str(value))}", Typed)
    return value


def _check_extent(value: Any) -> None:
    """Lists and mappings may share parts, so that few objects are many values: counts, and stops at the limits."""
    todo, values = [(value, 0)], 0
    while todo:
        part, depth = todo.pop()
        values += 1
        if depth > yaml_files.DEPTH:
            raise ConfigError(f"more than {yaml_files.DEPTH} levels are nested")
        if values > yaml_files.VALUES:
            raise ConfigError(f"it holds more than {yaml_files.VALUES:,} values")
        if isinstance(part, (Mapping, list, tuple)):
            todo += [(item, depth + 1) for item in (part.values() if isinstance(part, Mapping) else part)]


def _read(value: Any, kind: Any) -> Any:
    if isinstance(value, Typed):
        return _typed(value, kind)
    if isinstance(value, Mapping):
        return {key: _read(item, _of_value(kind, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_read(item, _of_item(kind)) for item in value]
    return value


def _typed(text: Typed, kind: Any) -> Any:
    kinds = _kinds(kind)
    if NoneType in kinds and text == NULL:
        return None
    if str in kinds:
        return str(text)
    for each in kinds:
        found = _as(text, each)
        if found is not text:
            return found
    return str(text)


def _as(text: Typed, kind: Any) -> Any:
    """The text as this one type, or the text itself."""
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
        return _guessed(text)
    if attrs.has(origin) or (isinstance(origin, type) and issubclass(origin, (list, tuple, Mapping))):
        found = opened(text)
        return text if found is text else _read(found, kind)
    return text


def _number(text: str) -> float:
    return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))  # YAML's words, Python's


def _guessed(text: Typed) -> Any:
    found = opened(text)
    return yaml_files.scalar(str(text)) if found is text else _read(found, Any)


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _of_value(kind: Any, key: Any) -> Any:
    """The type of one value of a mapping of this type."""
    for each in _kinds(kind):
        if attrs.has(each):
            attrs.resolve_types(each)
            return next((field.type for field in attrs.fields(each) if field.name == key), Any)
        arguments = get_args(each)
        if len(arguments) == 2 and get_origin(each) is not tuple and get_origin(each) is not Literal:
            return arguments[1]
    return Any


def _of_item(kind: Any) -> Any:
    for each in _kinds(kind):
        if get_origin(each) in (tuple, list):
            return get_args(each)[0]
    return Any
