"""Checks the names of scores before sampling: no name twice, and the name that `--guidance-by` asks for exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from nanogen_core.errors import ConfigError, NanoGenError, listing
from nanogen_data.loader import DataShard
from nanogen_eval import gather
from nanogen_eval.protocols import Metric

ALONE = DataShard()


@runtime_checkable
class Naming(Protocol):
    """A metric that says in advance which scores it gives."""

    score_names: Sequence[str]  # all that `compute` may give


class ScoreNames:
    """The names of the scores that metrics give.

    A metric without `score_names` is asked for its scores after the first batch. If it cannot answer yet,
    `entry.combined` checks its names at the end.
    """

    def __init__(self, metrics: Mapping[str, Metric], by: str | None = None):
        """Raises NanoGenError for two metrics that give one name, and ConfigError where none gives the score `by`."""
        self._by = by
        self._names = {name: list(m.score_names) for name, m in metrics.items() if isinstance(m, Naming)}
        self._unknown = set(metrics) - set(self._names) if len(metrics) > 1 or by is not None else set()
        self._check()

    def ask(self, metrics: Mapping[str, Metric], share: DataShard = ALONE) -> None:
        """Asks metrics that have seen a batch. Raises as the constructor does.

        All processes call it once per pass and share the names, since some may have no batch.
        """
        asked = sorted(self._unknown & set(metrics))
        told = gather.each({name: _given(metrics[name]) for name in asked}, share) if asked else []
        for name in asked:
            self._names[name] = list(dict.fromkeys(score for one in told for score in one[name]))
            if self._names[name]:
                self._unknown.discard(name)
        self._check()

    def _check(self) -> None:
        refuse_twice([score for names in self._names.values() for score in names])
        if self._by is not None and not self._unknown:
            refuse_unknown(self._by, [score for names in self._names.values() for score in names])


def refuse_twice(names: Sequence[str]) -> None:
    """Raises NanoGenError for a name that stands twice."""
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise NanoGenError(f"Two of the metrics give a score named {listing(twice)}: evaluate them one at a time.")


def refuse_unknown(by: str, names: Sequence[str]) -> None:
    """Raises ConfigError for a score to search by that is none of these."""
    if by not in names:
        raise ConfigError(f"There is no score {by!r} to choose the guidance by; the metrics give: {listing(names)}.")


def _given(metric: Metric) -> list[str]:
    try:
        return list(metric.compute())
    except Exception:  # over so few images a metric may fail in any way
        return []
