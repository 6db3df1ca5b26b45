"""Convert plain values to attrs classes strictly. Reports all wrong options at once, each with its path.

Plain values are what a YAML file holds: None, bool, int, float, str, and lists and dicts of plain values.

cattrs alone converts "false" to True and 3.9 to 3, so primitives are checked here. cattrs also stops at the first
failing validator, so attributes are converted one by one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import BaseValidationError, IterableValidationNote, StructureHandlerNotFoundError

from nanogen_files.errors import MISTAKES, Mistakes, NanoGenError, listing, near_miss, shown
from nanogen_files.typed import read

Config = TypeVar("Config")
_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
_LARGEST = 2**63 - 1
_ERRORS = (BaseValidationError, StructureHandlerNotFoundError, NanoGenError, TypeError, ValueError, ArithmeticError)


def structure(
    values: Mapping[str, Any], into: type[Config], path: str, *, finite: bool = True, settable: bool = False
) -> Config:
    """Build an attrs object from plain values.

    Args:
        values: Plain values, or `Typed` strings from the command line, by attribute name.
        into: The attrs class.
        path: Path of `values` in the configuration, such as `"train"`, for error messages.
        finite: Reject NaN and infinity. False for records of measurements.
        settable: Whether `--set` can set the options, for the message about a missing one.

    Raises:
        Mistakes: One line per mistake: `path.key: what is wrong`.
    """
    attrs.resolve_types(into)  # type: ignore[type-var]
    fields = {field.name: field for field in attrs.fields(into)}  # type: ignore[arg-type]
    unknown = [key for key in values if key not in fields]
    lines = [_unknown(key, path, fields if index < MISTAKES else {}) for index, key in enumerate(unknown)]
    missing = [name for name, field in fields.items() if name not in values and field.default is attrs.NOTHING]
    lines += [_missing(name, into, path, settable) for name in missing]
    converted: dict[str, Any] = {}
    for name in fields.keys() & values.keys():
        kind = fields[name].type
        try:
            converted[name] = _structured(read(values[name], kind), kind, finite)
        except _ERRORS as error:
            lines += _lines(error, path, name)
    lines += _invalid(converted, fields, path)
    if lines:
        raise Mistakes(sorted(lines))
    try:
        return into(**converted)
    except _ERRORS as error:  # a check of defaults, or of the whole object
        raise Mistakes(_object_lines(error, path, fields)) from error


def plain(config: Any) -> dict[str, Any]:
    """Convert an attrs object to plain values, the inverse of `structure`. Tuples become lists."""
    values: dict[str, Any] = _TO_PLAIN.unstructure(config)
    return values


def _structured(value: Any, kind: Any, finite: bool) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)  # `Options | None`
    options = next((option for option in kinds if attrs.has(option)), None)
    if options is not None and not (value is None and options is not kind):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a mapping, got {shown(value)}")
        return structure(value, options, "", finite=finite)
    if len(kinds) > 1 and any(get_origin(option) is tuple for option in kinds):  # `int | tuple[int, ...]`
        is_list = isinstance(value, (list, tuple))
        fitting = tuple(option for option in kinds if (get_origin(option) is tuple) == is_list)
        kind = Union[fitting] if fitting else kind  # noqa: UP007
    if get_origin(kind) is tuple and not isinstance(value, (list, tuple)):  # cattrs would split a string
        raise TypeError(f"expected a list, such as [a, b], got {shown(value)}")
    if any(get_origin(each) in _MAPPINGS for each in kinds) and not isinstance(value, (Mapping, NoneType)):
        raise TypeError(f"expected a mapping, got {shown(value)}")
    return (_CONVERTER if finite else _MEASUREMENTS).structure(value, kind)


def _invalid(converted: Mapping[str, Any], fields: Mapping[str, attrs.Attribute[Any]], path: str) -> Iterator[str]:
    """Yield the lines of failing validators. Validators may read other attributes of the object."""
    defaults = {name: field.default for name, field in fields.items()}
    instance = SimpleNamespace(**{**defaults, **converted})
    for name, value in converted.items():
        validator = fields[name].validator
        try:
            if validator is not None:
                validator(instance, fields[name], value)
        except _ERRORS as error:
            yield from _lines(error, path, name)


def _unknown(key: Any, path: str, known: Mapping[str, Any]) -> str:
    if not isinstance(key, str):
        return f"{path}: the key {shown(key)} must be a string"
    return f"{path}.{key[:64]}: unknown key.{near_miss(key, known)} Known: {listing(known, empty='...')}."


def _missing(name: str, config: type, path: str, settable: bool) -> str:
    """Return the line for a missing option, with the first sentence about it in the class's docstring, if any."""
    advice = f". Set it, for example with --set {path}.{name}=VALUE" if settable else ""
    pattern = rf"^ +{name}: (.+?)(?:\.(?=\s)|\n\s*\n|\Z)"
    found = (re.search(pattern, vars(base).get("__doc__") or "", re.M | re.S) for base in config.__mro__)
    meaning = next((f". Its value: {' '.join(match[1].split())}." for match in found if match), "")
    return f"{path}.{name} is missing{advice}{meaning or advice[:1]}"


def _lines(error: BaseException, path: str, name: str) -> list[str]:
    """Return one line per mistake inside an option's value. cattrs nests list errors by index."""
    if isinstance(error, BaseValidationError):
        return [line for part in error.exceptions for line in _lines(part, path, name + _index(part))]
    if isinstance(error, Mistakes):  # of options inside options
        return [f"{path}.{name}{line}" for line in error.lines]
    return [f"{path}.{name}: {_message(error).removeprefix(f'{name}: ')}"]


def _object_lines(error: BaseException, path: str, fields: Mapping[str, Any]) -> list[str]:
    """Return the line for an error about the object as a whole. It may begin with an attribute's name."""
    message = _message(error)
    return [f"{path}.{message}" if message.partition(":")[0] in fields else f"{path}: {message}"]


def _message(error: BaseException) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _index(error: BaseException) -> str:
    notes = getattr(error, "__notes__", ())
    return "".join(f"[{note.index}]" for note in notes if isinstance(note, IterableValidationNote))


def _primitive(kind: type, accepted: tuple[type, ...], finite: bool) -> Any:
    def check(value: Any, _: type) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"expected {_WORDS[kind]}, got {shown(value)}")
        _check_size(value, finite)
        return kind(value)

    return check


def _check_size(value: Any, finite: bool) -> None:
    """Raise ValueError for values that a configuration cannot hold: huge integers, NaN, invalid characters."""
    if isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
        raise ValueError(f"{shown(value)} does not fit into a 64-bit integer")
    if isinstance(value, float) and finite and not math.isfinite(value):
        raise ValueError(f"must be a finite number, got {value}")
    if isinstance(value, str) and ("\0" in value or (not value.isascii() and _surrogate(value))):
        raise ValueError(f"{shown(value)} contains a NUL character or invalid UTF-8")


def _surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _untyped(finite: bool) -> Any:
    def check(value: Any, _: Any) -> Any:  # `read` has limited size and depth
        if isinstance(value, Mapping):
            keys = [key for key in value if not isinstance(key, str)]
            if keys:
                raise TypeError(f"the key {shown(keys[0])} must be a string")
            return {key: check(item, _) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = (check(item, _) for item in value)
            return tuple(items) if isinstance(value, tuple) else list(items)
        _check_size(value, finite)
        return value

    return check


def _options(finite: bool) -> Any:
    """Return the conversion of options that are items of a list."""

    def convert(value: Any, kind: type) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a mapping, got {shown(value)}")
        return structure(value, kind, "", finite=finite)

    return convert


def _choice(value: Any, literal: Any) -> Any:
    choices = get_args(literal)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"expected one of {', '.join(map(str, choices))}, got {shown(value)}")
    return value


def _converter(finite: bool) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, _primitive(int, (int,), finite))
    converter.register_structure_hook(float, _primitive(float, (int, float), finite))
    converter.register_structure_hook(bool, _primitive(bool, (bool,), finite))
    converter.register_structure_hook(str, _primitive(str, (str,), finite))
    converter.register_structure_hook_func(attrs.has, _options(finite))
    converter.register_structure_hook_func(lambda kind: kind is Any, _untyped(finite))
    converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, _choice)  # type: ignore[comparison-overlap]
    return converter


_MAPPINGS = (dict, Mapping)
_CONVERTER, _MEASUREMENTS = _converter(True), _converter(False)
_TO_PLAIN = cattrs.Converter(unstruct_collection_overrides={tuple: list})  # it compiles a function for each class once
