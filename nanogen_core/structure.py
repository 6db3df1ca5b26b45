"""Strict configuration: plain values into attrs classes, every mistake at once, each with its path in the file.

cattrs alone turns "false" into True and 3.9 into 3, so the primitives are checked here; and it stops at the first
validator that fails, so the attributes are taken one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import BaseValidationError, IterableValidationNote

from nanogen_core.errors import ConfigError, NanoGenError, listing, near_miss

Config = TypeVar("Config")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def structure(values: Mapping[str, Any], into: type[Config], path: str) -> Config:
    """An `into` made of `values`. Raises ConfigError with one line for every mistake: `path.key: what is wrong`."""
    attrs.resolve_types(into)  # type: ignore[type-var]
    fields = {field.name: field for field in attrs.fields(into)}  # type: ignore[arg-type]
    lines = [_unknown(key, path, fields) for key in values if key not in fields]
    lines += [f"{path}.{name} is missing" for name, f in fields.items() if name not in values and _required(f)]
    found: dict[str, Any] = {}
    for name in fields.keys() & values.keys():
        try:
            found[name] = _structured(values[name], fields[name].type, into)
        except (BaseValidationError, ConfigError, TypeError, ValueError) as error:
            lines += _lines(error, f"{path}.{name}")
    lines += _invalid(found, fields, path)
    if lines:
        raise ConfigError("\n".join(sorted(lines)))
    return into(**found)


def plain(config: Any) -> dict[str, Any]:
    """The other way round: an attrs instance as a mapping of plain values, tuples as lists."""
    values: dict[str, Any] = cattrs.Converter(unstruct_collection_overrides={tuple: list}).unstructure(config)
    return values


def _structured(value: Any, kind: Any, owner: type) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)  # `Options | None`
    options = next((option for option in kinds if attrs.has(option)), None)
    if options is not None and not (value is None and options is not kind):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected keys and values, got {value!r}")
        return structure(value, options, "")
    if get_origin(kind) is Mapping and not isinstance(value, Mapping):  # cattrs would raise an AttributeError
        raise TypeError(f"expected keys and values, got {value!r}")
    if get_origin(kind) is tuple and not isinstance(value, (list, tuple)):  # cattrs takes a text letter by letter
        raise TypeError(f"expected a list, got {value!r}")
    return _CONVERTER.structure(value, kind)


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
        except (NanoGenError, TypeError, ValueError) as error:
            yield f"{path}.{name}: {error.args[0]}"


def _unknown(key: str, path: str, known: Mapping[str, Any]) -> str:
    return f"{path}.{key}: unknown key.{near_miss(key, known)} Known: {listing(known)}."


def _lines(error: BaseException, path: str) -> list[str]:
    """One line for each mistake inside a value: cattrs nests those of a list by their places."""
    if isinstance(error, ConfigError):
        return [f"{path}{line}" for line in str(error).splitlines()]
    if not isinstance(error, BaseValidationError):
        return [f"{path}: {error}"]
    return [line for part in error.exceptions for line in _lines(part, path + _place(part))]


def _place(error: BaseException) -> str:
    notes = getattr(error, "__notes__", ())
    return "".join(f"[{note.index}]" for note in notes if isinstance(note, IterableValidationNote))


def _strict(kind: type, accepted: tuple[type, ...]) -> Any:
    def check(value: Any, _: type) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"expected {_WORDS[kind]}, got {value!r}")
        return kind(value)

    return check


def _choice(value: Any, literal: Any) -> Any:
    if value not in get_args(literal):
        raise ValueError(f"expected one of {', '.join(map(str, get_args(literal)))}, got {value!r}")
    return value


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, _strict(int, (int,)))
    converter.register_structure_hook(float, _strict(float, (int, float)))
    converter.register_structure_hook(bool, _strict(bool, (bool,)))
    converter.register_structure_hook(str, _strict(str, (str,)))
    is_choice = lambda kind: get_origin(kind) is Literal  # type: ignore[comparison-overlap]  # noqa: E731
    converter.register_structure_hook_func(is_choice, _choice)
    return converter


_CONVERTER = _converter()
