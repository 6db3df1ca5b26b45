"""Which function answers a case: the one for its metric that reads the most of the keys of its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from attrs import frozen

from nanogen_core.errors import DataError, listing

MODULES = ("tests.evaluation_cases.fidelity", "tests.evaluation_cases.textscore")

Answer = Callable[[Mapping[str, Any]], Any]  # the case's input -> what stands under `expected`, tensors allowed


@frozen
class Runner:
    """Answers the cases of a metric whose input has all of these keys."""

    metric: str
    keys: frozenset[str]
    answer: Answer


class Runners:
    """A table of runners, filled by its decorator `add`."""

    def __init__(self) -> None:
        self._runners: list[Runner] = []

    def add(self, metric: str, *keys: str) -> Callable[[Answer], Answer]:
        """Takes the function below for cases of this metric whose input has at least these keys."""

        def register(answer: Answer) -> Answer:
            self._runners.append(Runner(metric, frozenset(keys), answer))
            return answer

        return register

    def extend(self, others: Runners) -> None:
        """Takes over another table's runners."""
        self._runners += others._runners

    def find(self, metric: str, given: Mapping[str, Any]) -> Answer:
        """The runner for an input, that with the most keys where several fit. Raises DataError where none does."""
        of_metric = [runner for runner in self._runners if runner.metric == metric]
        fitting = [runner for runner in of_metric if runner.keys <= given.keys()]
        if fitting:
            return max(fitting, key=lambda runner: len(runner.keys)).answer
        known = {runner.metric for runner in self._runners}
        if not of_metric:
            raise DataError(f"Nothing installed answers cases of the metric {metric!r}, only of: {listing(known)}.")
        takes = "; ".join(sorted(listing(runner.keys) for runner in of_metric))
        raise DataError(f"No runner of {metric!r} takes the keys {listing(given)}. Those that exist take: {takes}.")


def installed() -> Runners:
    """The runners of every distribution."""
    found = Runners()
    for module in MODULES:
        found.extend(import_module(module).RUNNERS)
    return found
