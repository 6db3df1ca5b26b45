"""Registry of the functions that compute the outputs of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from attrs import frozen

from nanogen_core.errors import DataError, listing

MODULES = ("tests.evaluation_cases.fidelity", "tests.evaluation_cases.textscore")

Answer = Callable[[Mapping[str, Any]], Any]  # input of a case -> output, in the form of `expected`; may have tensors


@frozen
class Runner:
    """A function for the cases of a metric whose input has all of `keys`."""

    metric: str
    keys: frozenset[str]
    answer: Answer


class Runners:
    """A registry of runners. The decorator `add` fills it."""

    def __init__(self) -> None:
        self._runners: list[Runner] = []

    def add(self, metric: str, *keys: str) -> Callable[[Answer], Answer]:
        """Register the decorated function for cases of a metric whose input has at least these keys."""

        def register(answer: Answer) -> Answer:
            self._runners.append(Runner(metric, frozenset(keys), answer))
            return answer

        return register

    def extend(self, others: Runners) -> None:
        """Add all runners of another registry."""
        self._runners += others._runners

    def find(self, metric: str, given: Mapping[str, Any]) -> Answer:
        """Return the function for an input. If several match, the one with the most keys is used.

        Raises DataError if none matches.
        """
        of_metric = [runner for runner in self._runners if runner.metric == metric]
        matching = [runner for runner in of_metric if runner.keys <= given.keys()]
        if matching:
            return max(matching, key=lambda runner: len(runner.keys)).answer
        known = {runner.metric for runner in self._runners}
        if not of_metric:
            raise DataError(f"There is no runner for the metric {metric!r}. Use one of: {listing(known)}.")
        keys = "; ".join(sorted(listing(runner.keys) for runner in of_metric))
        raise DataError(f"No runner of {metric!r} takes the keys {listing(given)}. Use one of these sets: {keys}.")


def installed() -> Runners:
    """The runners of all modules."""
    found = Runners()
    for module in MODULES:
        found.extend(import_module(module).RUNNERS)
    return found
