"""The file of cases, and the words in it that point from one input to another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_files import json_files

_REFERENCE = re.compile(r"\s*(?:the )?(?:same )?as ([\w.\-]+)\s*$")
_SAME = re.compile(r"\s*(?:the )?same\s*$")


@frozen
class Case:
    """One case. `tol` is absolute; `source` says what made `expected`."""

    id: str
    metric: str
    input: Mapping[str, Any]
    expected: Any
    tol: float
    source: str = ""


def read_cases(file: Path) -> list[Case]:
    """The cases of a file `{"cases": [{id, metric, input, expected, tol, source}]}`. Raises DataError."""
    try:
        return [_case(entry) for entry in json_files.read(file)["cases"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} holds no cases: {type(error).__name__} {error}; it must be a JSON object with a list 'cases' "
            "of objects with id, metric, input, expected and tol."
        ) from error


def _case(entry: Mapping[str, Any]) -> Case:
    named = {name: entry[name] for name in ("id", "metric", "input", "expected")}
    return Case(**named, tol=float(entry["tol"]), source=entry.get("source", ""))


def resolved(given: Mapping[str, Any], known: Mapping[str, Case]) -> dict[str, Any]:
    """An input without references: `"same as ssim_pattern"` becomes that case's value of the same key.

    `"same"` alone is what stands beside it: the same case's value of its own key where the other key refers to one,
    the other key's value otherwise. Raises DataError for a case that is not known.
    """
    values = dict(given)
    for key, value in given.items():
        if isinstance(value, str) and (found := _REFERENCE.match(value)):
            values[key] = _referred(found[1], key, given, known)
        elif isinstance(value, str) and _SAME.match(value):
            values[key] = _beside(key, given, known)
    return values


def _referred(name: str, key: str, given: Mapping[str, Any], known: Mapping[str, Case]) -> Any:
    if name in given:
        return given[name]
    if name not in known or key not in known[name].input:
        raise DataError(f"The input {key!r} refers to {name!r}, but no case of that name with such an input is known.")
    return known[name].input[key]


def _beside(key: str, given: Mapping[str, Any], known: Mapping[str, Case]) -> Any:
    other = next((name for name in given if name != key), None)
    if other is None:
        raise DataError(f"The input {key!r} is 'same', and there is nothing that it could be the same as.")
    text = given[other]
    if isinstance(text, str) and (found := _REFERENCE.match(text)) and found[1] in known:
        return _referred(found[1], key, given, known)
    return text
