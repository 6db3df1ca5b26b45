"""Examples that cannot be used: each is replaced by the next good one, counted by its reason, and few may be.

Which example stands in for a bad one depends on its place alone, so that a run that is resumed, or reads with another
number of processes, sees the same ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from nanogen_core.errors import DataError

log = logging.getLogger(__name__)
T = TypeVar("T")

LIMIT = 0.01  # the share of bad examples above which a run stops, where a dataset says no other in `max_corrupt`
NAMED = 10  # bad examples that are logged by name
ROW = 100  # so many on end are no accident


class CorruptSampleError(DataError):
    """One example that cannot be used. `reason`: two or three words to count it by, such as `"empty caption"`."""

    def __init__(self, reason: str, sentence: str):
        # A file's name may have bytes that are no UTF-8, and the sentence goes into manifests and logs.
        super().__init__(reason, sentence.encode("utf-8", "backslashreplace").decode())  # both, for pickle
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])


class CorruptSample(NamedTuple):
    """What became of one place of a split."""

    place: int
    reason: str
    sentence: str


def first_good(fetch: Callable[[int], T], index: int, length: int, bad: list[CorruptSample]) -> tuple[int, T]:
    """The example at `index`, or the nearest good one after it, around the end; and its place.

    The bad ones on the way are added to `bad`. Raises DataError where a hundred in a row are bad, or all of them.
    """
    tried = min(length, ROW)
    for place in range(index, index + tried):
        try:
            return place % length, fetch(place % length)
        except CorruptSampleError as error:
            bad.append(CorruptSample(place % length, error.reason, str(error)))
    raise DataError(f"No example from number {index} on can be used ({tried} were tried). {bad[-tried].sentence}")


class CorruptionCounter:
    """Counts the bad examples of a split of `total`, and stops when they are more than the share `limit` of it."""

    def __init__(self, total: int, limit: float = LIMIT):
        self.total, self.limit = total, limit
        self.reasons: Counter[str] = Counter()
        self.first: list[str] = []
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, found: Iterable[CorruptSample]) -> None:
        """Notes them, each place once. Raises DataError when there are too many."""
        for bad in found:
            if bad.place not in self._seen:
                self._note(bad)
        if len(self) > self.limit * self.total:
            raise DataError(
                f"Too many examples cannot be used: {self.summary()}, and at most {self.limit:.2%} may be. The first: "
                f"{self.first[0]} Mend the data, or set `dataset.max_corrupt` to a larger share."
            )

    def _note(self, bad: CorruptSample) -> None:
        self._seen.add(bad.place)
        self.reasons[bad.reason] += 1
        if len(self.first) < NAMED:
            self.first.append(bad.sentence)
            log.warning("Skipped example %d (%s): %s", bad.place, bad.reason, bad.sentence)
        elif len(self) & (len(self) - 1) == 0:  # 16, 32, 64 ...
            log.warning("Skipped so far: %s.", self.summary())

    def summary(self) -> str:
        """`"12 of 1000 (7 empty file, 5 no image)"`."""
        counted = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return f"{len(self)} of {self.total}" + (f" ({counted})" if counted else "")
