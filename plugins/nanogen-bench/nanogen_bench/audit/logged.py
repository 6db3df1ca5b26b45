"""Audit of two logs: compares logged values, within tolerances."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from nanogen_bench.audit.lines import DIFFERS, EQUAL, EXPECTED, UNKNOWN, Line, Series

CLOCKS = ("step", "seconds", "images_per_second")
MAX_ERRORS = 4.0  # largest difference of two means, in standard errors
MIN_STEPS = 3  # logged steps for a standard error


@frozen
class Rule:
    """Rule for comparing two curves.

    Attributes:
        pattern: Regular expression that matches the whole name of a curve.
        text: Description of the rule.
        compare: Maps (first curve, second curve, whether the tasks differ) to the verdict.
    """

    pattern: str
    text: str
    compare: Callable[[Series, Series, bool], str]


def curves(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return the curve of each logged value by name, as (step, value) pairs. Omits the names in `CLOCKS`."""
    names = dict.fromkeys(name for entry in entries for name in entry if name not in CLOCKS)
    return {name: [(e["step"], float(e[name])) for e in entries if name in e] for name in names}


def lines(first: Mapping[str, Series], second: Mapping[str, Series], other_task: bool) -> list[Line]:
    """Compare the curves of two runs, with one line per name, in the order of `RULES`.

    Args:
        first: Curves of the first run by name.
        second: Curves of the second run by name.
        other_task: Whether the tasks differ.
    """
    names = dict.fromkeys([*first, *second])
    order = sorted(names, key=lambda name: [rule.pattern for rule in RULES].index(_rule(name).pattern))
    return [_line(name, first.get(name, ()), second.get(name, ()), other_task) for name in order]


def _line(name: str, first: Series, second: Series, other_task: bool) -> Line:
    rule = _rule(name)
    a, b = late(first, second)
    verdict = rule.compare(a, b, other_task) if a and b else UNKNOWN
    return Line(
        group="logs", name=name, first=_mean(a or first), second=_mean(b or second), verdict=verdict, rule=rule.text
    )


def late(first: Series, second: Series) -> tuple[Series, Series]:
    """Reduce two curves to the second half of their common steps."""
    common = sorted({step for step, _ in first} & {step for step, _ in second})
    kept = set(common[len(common) // 2 :])
    return [p for p in first if p[0] in kept], [p for p in second if p[0] in kept]


def _rule(name: str) -> Rule:
    return next(rule for rule in RULES if re.fullmatch(rule.pattern, name))


def _mean(series: Series) -> float | None:
    return statistics.fmean(value for _, value in series) if series else None


def _exact(first: Series, second: Series, other_task: bool) -> str:
    pairs = zip(first, second, strict=True)
    return EQUAL if all(math.isclose(a, b, rel_tol=1e-6) for (_, a), (_, b) in pairs) else DIFFERS


def _random(first: Series, second: Series, other_task: bool) -> str:
    """Compare means of random numbers by their standard error. Identical numbers (equal seeds) are equal."""
    a, b = ([value for _, value in series] for series in (first, second))
    if a == b:
        return EQUAL
    if len(a) < MIN_STEPS:
        return UNKNOWN
    error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / len(a))
    return EQUAL if abs(statistics.fmean(a) - statistics.fmean(b)) <= MAX_ERRORS * error else DIFFERS


def _ratio(equal: float, expected: float) -> Callable[[Series, Series, bool], str]:
    """Compare means by their ratio.

    Args:
        equal: Largest relative difference of equal curves.
        expected: Largest ratio that is expected if the tasks differ.
    """

    def compare(first: Series, second: Series, other_task: bool) -> str:
        a, b = (statistics.fmean(value for _, value in series) for series in (first, second))
        small, large = sorted((abs(a), abs(b)))
        if large - small <= equal * large and a * b >= 0:
            return EQUAL
        return EXPECTED if other_task and a * b > 0 and large <= expected * small else DIFFERS

    return compare


def _loss(equal: float, expected: float) -> Callable[[Series, Series, bool], str]:
    """Compare means by their ratio, and where a value is not positive by their difference.

    A loss with a learned weight is the logarithm of an error: log(r) more is an error r times as large.

    Args:
        equal: Largest relative difference of equal curves.
        expected: Largest ratio that is expected if the tasks differ.
    """
    ratio, shift = _ratio(equal, expected), _shift(math.log(1 + equal), math.log(expected))

    def compare(first: Series, second: Series, other_task: bool) -> str:
        positive = min(value for _, value in [*first, *second]) > 0
        return (ratio if positive else shift)(first, second, other_task)

    return compare


def _shift(equal: float, expected: float) -> Callable[[Series, Series, bool], str]:
    """Compare means by their absolute difference, for values around zero.

    Args:
        equal: Largest difference of equal curves.
        expected: Largest difference that is expected if the tasks differ.
    """

    def compare(first: Series, second: Series, other_task: bool) -> str:
        a, b = (statistics.fmean(value for _, value in series) for series in (first, second))
        if abs(a - b) <= equal:
            return EQUAL
        return EXPECTED if other_task and abs(a - b) <= expected else DIFFERS

    return compare


def _of_task(first: Series, second: Series, other_task: bool) -> str:
    equal = _ratio(0.01, 1.0)(first, second, other_task)
    return EXPECTED if equal == DIFFERS and other_task else equal


#: The first rule whose pattern matches applies.
RULES = (
    Rule(r"lr\..*", "equal at every compared step, to 1e-6", _exact),
    Rule(r"images", "equal at every compared step, to 1e-6", _exact),
    Rule(
        r"flops\.with_gradient",
        "within 1%; factor 4 between tasks, because text has more tokens",
        _ratio(0.01, 4.0),
    ),
    Rule(r"flops\.without_gradient", "within 1%; any ratio between tasks, because encoders differ", _of_task),
    Rule(r"draws\..*", f"equal, or means within {MAX_ERRORS:g} standard errors", _random),
    Rule(r"latent\.mean", "within 0.1; 0.5 between tasks, because images differ", _shift(0.1, 0.5)),
    Rule(r"latent\.std", "within 10%; factor 1.5 between tasks, because images differ", _ratio(0.1, 1.5)),
    Rule(r"grad_norm", "within 15%; factor 3 between tasks", _ratio(0.15, 3.0)),
    Rule(r"weights\..*", "within 10%; factor 1.5 between tasks", _ratio(0.1, 1.5)),
    Rule(r"update\..*", "within 15%; factor 2 between tasks", _ratio(0.15, 2.0)),
    Rule(r"state\..*", "within 25%; factor 10 between tasks, because states are squared gradients", _ratio(0.25, 10.0)),
    Rule(
        r".*",
        "within 15%; factor 3 between tasks; with negative values within 0.14, and 1.1 between tasks",
        _loss(0.15, 3.0),
    ),
)
