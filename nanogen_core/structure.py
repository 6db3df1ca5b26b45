"""Strict configuration: plain values into attrs classes, every mistake at once, each with its path in the file.

cattrs alone turns "false" into True and 3.9 into 3, so the primitives are checked here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)

from nanogen_core.errors import ConfigError, listing, near_miss

Config = TypeVar("Config")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _strict(kind: type, accepted: tuple[type, ...]) -> Any:
    def check(value: Any, _: type) -> Any:
        if type(value) not in accepted:
            raise TypeError(f"expected {_WORDS[kind]}, got {value!r}")
        return kind(value)

    return check


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, _strict(int, (int,)))
    converter.register_structure_hook(float, _strict(float, (int, float)))
    converter.register_structure_hook(bool, _strict(bool, (bool,)))
    converter.register_structure_hook(str, _strict(str, (str,)))
    return converter


_CONVERTER = _converter()


def structure(values: Mapping[str, Any], into: type[Config], path: str) -> Config:
    """An `into` made of `values`. Raises ConfigError with one line for every mistake: `path.key: what is wrong`."""
    try:
        return _CONVERTER.structure(values, into)
    except (BaseValidationError, TypeError, ValueError) as error:
        raise ConfigError("\n".join(_lines(error, path, into))) from error


def plain(config: Any) -> dict[str, Any]:
    """The other way round: an attrs instance as a mapping of plain values, tuples as lists."""
    values: dict[str, Any] = cattrs.Converter(unstruct_collection_overrides={tuple: list}).unstructure(config)
    return values


def _lines(error: BaseException, path: str, into: Any) -> list[str]:
    if isinstance(error, ForbiddenExtraKeysError):
        return [_unknown(key, path, error.cl) for key in sorted(error.extra_fields)]
    if isinstance(error, IterableValidationError):
        return _nested(error.group_exceptions(), path, into)
    if isinstance(error, BaseValidationError):
        return _nested(getattr(error, "group_exceptions")(), path, into)  # noqa: B009  (untyped in cattrs)
    if isinstance(error, KeyError):
        return [f"{path}: {error.args[0]} is missing"]
    return [f"{path}: {error}"]


def _nested(groups: Any, path: str, into: Any) -> list[str]:
    noted, others = groups
    lines: list[str] = []
    for exception, note in noted:
        lines += _lines(exception, path + _suffix(note), into)
    for exception in others:
        lines += _lines(exception, path, into)
    return lines


def _suffix(note: Any) -> str:
    if isinstance(note, AttributeValidationNote):
        return f".{note.name}"
    if isinstance(note, IterableValidationNote):
        return f"[{note.index}]"
    return ""


def _unknown(key: str, path: str, cls: type) -> str:
    known = [a.name for a in attrs.fields(cls)] if attrs.has(cls) else []
    return f"{path}.{key}: unknown key.{near_miss(key, known)} Known: {listing(known)}."
