"""Reads a file of cases, and resolves the references between their inputs."""

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
    """An evaluation case."""

    id: str
    metric: str
    input: Mapping[str, Any]
    expected: Any
    tol: float  # absolute
    source: str = ""  # the code that computed `expected`


def read_cases(file: Path) -> list[Case]:
    """Read a file `{"cases": [{id, metric, input, expected, tol, source}]}`. Raises DataError for another format."""
    try:
        return [_case(entry) for entry in json_files.read(file)["cases"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is not a file of cases ({type(error).__name__}: {error}). Write a JSON object with a list 'cases' "
            "of objects with id, metric, input, expected and tol."
        ) from error


def _case(entry: Mapping[str, Any]) -> Case:
    named = {name: entry[name] for name in ("id", "metric", "input", "expected")}
    return Case(**named, tol=float(entry["tol"]), source=entry.get("source", ""))


def resolved(given: Mapping[str, Any], known: Mapping[str, Case]) -> dict[str, Any]:
    """Replace the references in an input by values.

    `"same as ssim_pattern"` is the value of the same key in the case `ssim_pattern`. `"same"` is the value of the other
    key in the input. If that value is a reference to a case, `"same"` refers to the same case.

    Args:
        given: The input.
        known: Cases by id.

    Raises:
        DataError: A reference names an unknown case or key.
    """
    values = dict(given)
    for key, value in given.items():
        if isinstance(value, str) and (found := _REFERENCE.match(value)):
            values[key] = _referred(found[1], key, given, known)
        elif isinstance(value, str) and _SAME.match(value):
            values[key] = _same(key, given, known)
    return values


def _referred(name: str, key: str, given: Mapping[str, Any], known: Mapping[str, Case]) -> Any:
    if name in given:
        return given[name]
    if name not in known or key not in known[name].input:
        raise DataError(f"The input {key!r} refers to {name!r}, and there is no such case with this key. Correct it.")
    return known[name].input[key]


def _same(key: str, given: Mapping[str, Any], known: Mapping[str, Case]) -> Any:
    other = next((name for name in given if name != key), None)
    if other is None:
        raise DataError(f"The input {key!r} is 'same', and the input has no other key. Add the other key.")
    text = given[other]
    if isinstance(text, str) and (found := _REFERENCE.match(text)) and found[1] in known:
        return _referred(found[1], key, given, known)
    return text
