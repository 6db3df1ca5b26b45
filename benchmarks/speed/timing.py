"""Timing of two programs in turn, so that changes of machine load affect both; rows of the table."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from attrs import frozen

Work = Callable[[], object]


@frozen(kw_only=True)
class Row:
    """A row. `at_least` and `at_most` bound `figure`, in `unit` (`x`: speed relative to `against`)."""

    name: str
    against: str
    figure: float
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""
    peak_mib: float | None = None  # if measured in another process

    @property
    def holds(self) -> bool:
        over = self.at_least is None or self.figure >= self.at_least
        return over and (self.at_most is None or self.figure <= self.at_most)

    @property
    def bound(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(*sides: Work, rounds: int, warm_up: int = 2) -> list[list[float]]:
    """Return the seconds of each side in each round. The order alternates."""
    for _ in range(warm_up):
        for side in sides:
            side()
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for place in order:
            taken[place].append(seconds(sides[place]))
    return taken


def ratio(ours: Work, other: Work, *, rounds: int, warm_up: int = 2) -> tuple[float, str]:
    """Return our relative speed (median ratio over rounds), and a text with both medians."""
    mine, theirs = in_turn(ours, other, rounds=rounds, warm_up=warm_up)
    found = median(b / a for a, b in zip(mine, theirs, strict=True))
    return found, f"{median(mine) * 1e3:.1f} ms against {median(theirs) * 1e3:.1f} ms"


def peak_mib() -> float:
    """Return the peak resident size of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def as_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "against": row.against,
        "figure": row.figure,
        "unit": row.unit,
        "bound": row.bound,
        "holds": row.holds,
        "detail": row.detail,
        "peak_mib": round(peak_mib() if row.peak_mib is None else row.peak_mib),
    }
