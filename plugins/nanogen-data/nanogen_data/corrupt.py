"""Corrupt samples: each is replaced by the next good one and counted by reason. Too many stop the run.

The replacement depends only on the index of the corrupt sample. A run therefore sees the same examples after a resume
and on any number of processes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from nanogen_core.errors import DataError

log = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_LIMIT = 0.01  # share of corrupt samples that stops a run, for datasets without `max_corrupt`
MAX_LISTED = 10  # corrupt samples that are logged by name
MAX_CONSECUTIVE = 100  # corrupt samples in a row that stop a run


class CorruptSampleError(DataError):
    """A single example cannot be used.

    Args:
        reason: Two or three words to count it by, such as `"empty caption"`.
        message: The full error message.
    """

    def __init__(self, reason: str, message: str):
        # File names may contain bytes that are not UTF-8; manifests and logs must not.
        super().__init__(reason, message.encode("utf-8", "backslashreplace").decode())  # pickle needs both
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])


class CorruptSample(NamedTuple):
    """A corrupt sample: its row in the split, the reason to count it by, and the error message."""

    row: int
    reason: str
    message: str


def first_good(fetch: Callable[[int], T], index: int, rows: range, corrupt: list[CorruptSample]) -> tuple[int, T]:
    """Fetch an example, or the next good one if it is corrupt. Wraps around at the end of `rows`.

    Args:
        fetch: Returns the example at an index, or raises CorruptSampleError.
        index: Index of the example.
        rows: Indices of the examples that may replace it: all examples of the same root.
        corrupt: The skipped samples are appended to this list.

    Returns:
        The index of the good example, and the example.

    Raises:
        DataError: 100 examples in a row are corrupt, or all of `rows`.
    """
    tried = min(len(rows), MAX_CONSECUTIVE)
    for offset in range(tried):
        row = rows[(index - rows.start + offset) % len(rows)]
        try:
            return row, fetch(row)
        except CorruptSampleError as error:
            corrupt.append(CorruptSample(row, error.reason, str(error)))
    raise DataError(
        f"No example can be read from index {index} on (tried: {tried}). Repair the data. First:"
        f" {corrupt[-tried].message}"
    )


class CorruptionCounter:
    """Count the corrupt samples of a split, and stop the run if there are too many.

    Args:
        total: Number of examples in the split.
        limit: Largest allowed share of corrupt samples, in [0, 1].
    """

    def __init__(self, total: int, limit: float = DEFAULT_LIMIT):
        self.total, self.limit = total, limit
        self.reasons: Counter[str] = Counter()
        self.first: list[str] = []
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, samples: Iterable[CorruptSample]) -> None:
        """Count samples, each index once. Raises DataError if their share exceeds the limit."""
        for corrupt in samples:
            if corrupt.row not in self._seen:
                self._record(corrupt)
        if len(self) > self.limit * self.total:
            raise DataError(
                f"Too many samples are corrupt: {self.summary()}; the limit is {self.limit:.2%}. First: {self.first[0]}"
                " Repair the data, or raise `dataset.max_corrupt`."
            )

    def _record(self, corrupt: CorruptSample) -> None:
        self._seen.add(corrupt.row)
        self.reasons[corrupt.reason] += 1
        if len(self.first) < MAX_LISTED:
            self.first.append(corrupt.message)
            log.warning("Skipped example %d (%s): %s", corrupt.row, corrupt.reason, corrupt.message)
        elif len(self) & (len(self) - 1) == 0:  # 16, 32, 64 ...
            log.warning("Skipped so far: %s.", self.summary())

    def summary(self) -> str:
        """Return a text such as `"12 of 1000 (7 empty file, 5 no image)"`."""
        counted = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return f"{len(self)} of {self.total}" + (f" ({counted})" if counted else "")
