"""Strict configuration: plain values into attrs classes, every mistake at once, each with its path in the file.

cattrs alone turns "false" into True and 3.9 into 3, so the primitives are checked here; and it stops at the first
validator that fails, so the attributes are taken one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import BaseValidationError, IterableValidationNote, StructureHandlerNotFoundError

from nanogen_files.errors import MISTAKES, Mistakes, NanoGenError, listing, near_miss, shown
from nanogen_files.typed import read

Config = TypeVar("Config")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_LARGEST = 2**63 - 1
_WRONG = (BaseValidationError, StructureHandlerNotFoundError, NanoGenError, TypeError, ValueError, ArithmeticError)


def structure(values: Mapping[str, Any], into: type[Config], path: str, *, finite: bool = True) -> Config:
    """An `into` made of `values`. Raises Mistakes with one line for each: `path.key: what is wrong`.

    No option may be NaN or infinite; a record of measurements may (`finite=False`).
    """
    attrs.resolve_types(into)  # type: ignore[type-var]
    fields = {field.name: field for field in attrs.fields(into)}  # type: ignore[arg-type]
    unknown = [key for key in values if key not in fields]
    lines = [_unknown(key, path, fields if place < MISTAKES else {}) for place, key in enumerate(unknown)]
    lines += [f"{path}.{name} is missing" for name, f in fields.items() if name not in values and _required(f)]
    found: dict[str, Any] = {}
    for name in fields.keys() & values.keys():
        kind = fields[name].type
        try:
            found[name] = _structured(read(values[name], kind), kind, finite)
        except _WRONG as error:
            lines += _lines(error, path, name)
    lines += _invalid(found, fields, path)
    if lines:
        raise Mistakes(sorted(lines))
    try:
        return into(**found)
    except _WRONG as error:  # what a default has against the other options, or the class against all of them
        raise Mistakes(_whole(error, path, fields)) from error


def plain(config: Any) -> dict[str, Any]:
    """The other way round: an attrs instance as a mapping of plain values, tuples as lists."""
    values: dict[str, Any] = cattrs.Converter(unstruct_collection_overrides={tuple: list}).unstructure(config)
    return values


def _structured(value: Any, kind: Any, finite: bool) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)  # `Options | None`
    options = next((option for option in kinds if attrs.has(option)), None)
    if options is not None and not (value is None and options is not kind):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected keys and values, got {shown(value)}")
        return structure(value, options, "", finite=finite)
    if len(kinds) > 1 and any(get_origin(option) is tuple for option in kinds):  # `int | tuple[int, ...]`
        many = isinstance(value, (list, tuple))
        fitting = tuple(option for option in kinds if (get_origin(option) is tuple) == many)
        kind = Union[fitting] if fitting else kind  # noqa: UP007
    if get_origin(kind) is tuple and not isinstance(value, (list, tuple)):  # cattrs takes a text letter by letter
        raise TypeError(f"expected a list, such as [a, b], got {shown(value)}")
    if any(get_origin(each) in _MAPPINGS for each in kinds) and not isinstance(value, (Mapping, NoneType)):
        raise TypeError(f"expected keys and values, got {shown(value)}")
    return (_CONVERTER if finite else _MEASURED).structure(value, kind)


def _required(field: attrs.Attribute[Any]) -> bool:
    return field.default is attrs.NOTHING


def _invalid(found: Mapping[str, Any], fields: Mapping[str, attrs.Attribute[Any]], path: str) -> Iterator[str]:
    """What the validators say of the values; those of one attribute may look at the others."""
    defaults = {name: field.default for name, field in fields.items()}
    instance = SimpleNamespace(**{**defaults, **found})
    for name, value in found.items():
        validator = fields[name].validator
        try:
            if validator is not None:
                validator(instance, fields[name], value)
        except _WRONG as error:
            yield from _lines(error, path, name)


def _unknown(key: Any, path: str, known: Mapping[str, Any]) -> str:
    if not isinstance(key, str):
        return f"{path}: the key {shown(key)} must be a text"
    return f"{path}.{key[:64]}: unknown key.{near_miss(key, known)} Known: {listing(known, empty='...')}."


def _lines(error: BaseException, path: str, name: str) -> list[str]:
    """One line for each mistake inside the value of an option: cattrs nests those of a list by their places."""
    if isinstance(error, BaseValidationError):
        return [line for part in error.exceptions for line in _lines(part, path, name + _place(part))]
    if isinstance(error, Mistakes):  # of options inside options
        return [f"{path}.{name}{line}" for line in error.lines]
    return [f"{path}.{name}: {_sentence(error).removeprefix(f'{name}: ')}"]


def _whole(error: BaseException, path: str, fields: Mapping[str, Any]) -> list[str]:
    """The line for what an object says of all its options: it may begin with the name of one."""
    sentence = _sentence(error)
    return [f"{path}.{sentence}" if sentence.partition(":")[0] in fields else f"{path}: {sentence}"]


def _sentence(error: BaseException) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _place(error: BaseException) -> str:
    notes = getattr(error, "__notes__", ())
    return "".join(f"[{note.index}]" for note in notes if isinstance(note, IterableValidationNote))


def _strict(kind: type, accepted: tuple[type, ...], finite: bool) -> Any:
    def check(value: Any, _: type) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"expected {_WORDS[kind]}, got {shown(value)}")
        _check_size(value, finite)
        return kind(value)

    return check


def _check_size(value: Any, finite: bool) -> None:
    """Raises ValueError for a number or a text that no computer's number or file name can be."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"{shown(value)} is too large")
    if isinstance(value, float) and finite and not math.isfinite(value):
        raise ValueError(f"must be a finite number, got {value}")
    if isinstance(value, str) and ("\0" in value or (not value.isascii() and _surrogate(value))):
        raise ValueError(f"{shown(value)} holds what no text can hold: a zero byte, or a byte that is no UTF-8")


def _surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _anything(finite: bool) -> Any:
    def check(value: Any, _: Any) -> Any:  # `read` has limited what the value holds
        if isinstance(value, Mapping):
            keys = [key for key in value if not isinstance(key, str)]
            if keys:
                raise TypeError(f"the key {shown(keys[0])} must be a text")
            return {key: check(item, _) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = (check(item, _) for item in value)
            return tuple(items) if isinstance(value, tuple) else list(items)
        _check_size(value, finite)
        return value

    return check


def _choice(value: Any, literal: Any) -> Any:
    choices = get_args(literal)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"expected one of {', '.join(map(str, choices))}, got {shown(value)}")
    return value


def _converter(finite: bool) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, _strict(int, (int,), finite))
    converter.register_structure_hook(float, _strict(float, (int, float), finite))
    converter.register_structure_hook(bool, _strict(bool, (bool,), finite))
    converter.register_structure_hook(str, _strict(str, (str,), finite))
    converter.register_structure_hook_func(lambda kind: kind is Any, _anything(finite))
    converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, _choice)  # type: ignore[comparison-overlap]
    return converter


_MAPPINGS = (dict, Mapping)
_CONVERTER, _MEASURED = _converter(True), _converter(False)
