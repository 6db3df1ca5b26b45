"""Which scores may stand in one column, and what to say at those that may not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nanogen_eval.score import Score, canonical

ABSENT = "not stated"


def comparable(scores: Sequence[Score]) -> dict[str, list[Any]]:
    """The settings in which the scores differ, as `"sampling.steps" -> its value in each score`; empty where all have
    one fingerprint. A setting that a score lacks is "not stated"."""
    flats = [dict(_flat(score.protocol)) for score in scores]
    paths = dict.fromkeys(path for flat in flats for path in flat)
    columns = {path: [flat.get(path, ABSENT) for flat in flats] for path in paths}
    return {path: column for path, column in columns.items() if len({_text(value) for value in column}) > 1}


def footnotes(scores: Sequence[Score]) -> list[str]:
    """For each row of a column the words to say at it: `""` where it is measured as most rows are, else the settings
    in which it differs from them. Of two equally frequent ways the one that comes first is the common one."""
    differing = comparable(scores)
    if not differing:
        return [""] * len(scores)
    marks = [score.fingerprint for score in scores]
    common = marks.index(Counter(marks).most_common(1)[0][0])
    return [_difference(differing, row, common) for row in range(len(scores))]


def _difference(differing: Mapping[str, Sequence[Any]], row: int, common: int) -> str:
    others = {path: (column[row], column[common]) for path, column in differing.items()}
    return "; ".join(
        f"{path} {_text(mine)} in place of {_text(theirs)}"
        for path, (mine, theirs) in others.items()
        if _text(mine) != _text(theirs)
    )


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical({"": value})[4:-1]
