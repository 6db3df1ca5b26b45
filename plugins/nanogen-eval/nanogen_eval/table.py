"""Comparison of the settings of scores in one column of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nanogen_eval.score import Score, canonical

ABSENT = "not stated"


def comparable(scores: Sequence[Score]) -> dict[str, list[Any]]:
    """Return the settings in which scores differ.

    Returns:
        Lists with one value per score, by the path of the setting, such as `"sampling.steps"`. The value of a missing
        setting is `"not stated"`. Empty if all fingerprints are equal.
    """
    flats = [dict(_flat(score.protocol)) for score in scores]
    paths = dict.fromkeys(path for flat in flats for path in flat)
    columns = {path: [flat.get(path, ABSENT) for flat in flats] for path in paths}
    return {path: column for path, column in columns.items() if len({_text(value) for value in column}) > 1}


def footnotes(scores: Sequence[Score]) -> list[str]:
    """Return a footnote for each score of a column.

    The reference is the first score with the most frequent fingerprint. A footnote lists the settings that differ from
    those of the reference. It is empty if none differ.
    """
    fingerprints = [score.fingerprint for score in scores]
    usual = scores[fingerprints.index(Counter(fingerprints).most_common(1)[0][0])] if scores else None
    return ["; ".join(_differences(score.protocol, usual.protocol)) if usual else "" for score in scores]


def _differences(own: Mapping[str, Any], usual: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield one text for each setting that differs, or for a whole section that one of them lacks."""
    for key in dict.fromkeys([*usual, *own]):
        first, second = own.get(key, ABSENT), usual.get(key, ABSENT)
        if all(isinstance(value, Mapping) and value for value in (first, second)):
            yield from _differences(first, second, f"{prefix}{key}.")
        elif _text(first) != _text(second):
            yield f"{prefix}{key} {_text(first)} in place of {_text(second)}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{path} {_text(item)}" for path, item in _flat(value)) or "none"
    return value if isinstance(value, str) else canonical({"": value})[4:-1]
