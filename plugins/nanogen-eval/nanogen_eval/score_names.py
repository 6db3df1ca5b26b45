"""Early checks that score names are unique and that the score of `--guidance-by` exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from nanogen_core.errors import ConfigError, NanoGenError, listing
from nanogen_data.loader import DataShard
from nanogen_eval import gather
from nanogen_eval.protocols import Metric

ONE_PROCESS = DataShard()


@runtime_checkable
class HasScoreNames(Protocol):
    """Metric that declares the names of its scores."""

    score_names: Sequence[str]  # all names that `compute` may return


class ScoreNames:
    """Names of the scores that a set of metrics computes.

    If a metric has no `score_names`, its names are read after its first batch. If its `compute` fails on so few images,
    `entry.combined` checks the names at the end.
    """

    def __init__(self, metrics: Mapping[str, Metric], by: str | None = None):
        """Check the declared names.

        Args:
            metrics: The metrics by component name.
            by: Name of a score that must exist; None for no such check.

        Raises:
            NanoGenError: Two metrics declare the same name.
            ConfigError: No metric computes the score `by`.
        """
        self._by = by
        self._names = {name: list(m.score_names) for name, m in metrics.items() if isinstance(m, HasScoreNames)}
        self._unknown = set(metrics) - set(self._names) if len(metrics) > 1 or by is not None else set()
        self._check()

    def update(self, metrics: Mapping[str, Metric], share: DataShard = ONE_PROCESS) -> None:
        """Read the names of metrics after their first batch, and check them. Raises the errors of the constructor.

        All processes must call it once per pass. They exchange the names, because a process may have no batch.
        """
        pending = sorted(self._unknown & set(metrics))
        found = gather.all_gather({name: _computed(metrics[name]) for name in pending}, share) if pending else []
        for name in pending:
            self._names[name] = list(dict.fromkeys(score for names in found for score in names[name]))
            if self._names[name]:
                self._unknown.discard(name)
        self._check()

    def _check(self) -> None:
        refuse_twice([score for names in self._names.values() for score in names])
        if self._by is not None and not self._unknown:
            refuse_unknown(self._by, [score for names in self._names.values() for score in names])


def refuse_twice(names: Sequence[str]) -> None:
    """Raise NanoGenError for a duplicate name."""
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise NanoGenError(f"Two of the metrics compute a score named {listing(twice)}: evaluate them one at a time.")


def refuse_unknown(by: str, names: Sequence[str]) -> None:
    """Raise ConfigError if `by` is not among the names of the scores."""
    if by not in names:
        raise ConfigError(f"No metric computes the score {by!r} of --guidance-by. Available scores: {listing(names)}.")


def _computed(metric: Metric) -> list[str]:
    try:
        return list(metric.compute())
    except Exception:  # a metric may raise any error on few images
        return []
