"""Compares an output with the expected one, within an absolute tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def difference(expected: Any, found: Any, tolerance: float, path: str = "") -> str | None:
    """Describe the first difference between two values.

    Further keys in `found` are ignored. If a mapping has `correct` and `reason`, only `correct` is compared, because
    reasons are worded differently.

    Args:
        expected: Numbers, texts, lists or mappings.
        found: The same, or tensors and arrays.
        tolerance: The largest accepted difference of two numbers.
        path: The position inside the outermost value.

    Returns:
        The difference in words, or None if there is none.
    """
    found = found.tolist() if hasattr(found, "tolist") else found
    if isinstance(expected, Mapping):
        return _mapping(expected, found, tolerance, path)
    if isinstance(expected, list):
        return _list(expected, found, tolerance, path)
    return None if _equal(expected, found, tolerance) else f"{path or 'it'} should be {expected!r}, is {found!r}"


def _mapping(expected: Mapping[str, Any], found: Any, tolerance: float, path: str) -> str | None:
    if not isinstance(found, Mapping):
        return f"{path or 'it'} should have the keys {', '.join(expected)}, is {found!r}"
    named = {str(key): value for key, value in found.items()}
    for key in ["correct"] if "correct" in expected and "reason" in expected else expected:
        if key not in named and expected[key] is not None:
            return f"{path}.{key} is missing".lstrip(".")
        if wrong := difference(expected[key], named.get(key), tolerance, f"{path}.{key}".lstrip(".")):
            return wrong
    return None


def _list(expected: Sequence[Any], found: Any, tolerance: float, path: str) -> str | None:
    if not isinstance(found, (list, tuple)) or len(found) != len(expected):
        return f"{path or 'it'} should be {list(expected)!r}, is {found!r}"
    pairs = enumerate(zip(expected, found, strict=True))
    wrong = (difference(e, f, tolerance, f"{path}[{number}]") for number, (e, f) in pairs)
    return next((line for line in wrong if line), None)


def _equal(expected: Any, found: Any, tolerance: float) -> bool:
    if expected is None:  # the JSON of NaN and infinity
        return found is None or (isinstance(found, float) and not math.isfinite(found))
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return False
        return _near(float(expected), float(found), tolerance)
    return type(expected) is type(found) and bool(expected == found)


def _near(expected: float, found: float, tolerance: float) -> bool:
    if not math.isfinite(expected):
        return expected == found or (math.isnan(expected) and math.isnan(found))
    return abs(expected - found) <= tolerance
