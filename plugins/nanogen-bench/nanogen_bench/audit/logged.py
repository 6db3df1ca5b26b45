"""What was measured: the figures of two logs, by rules with stated tolerances."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from nanogen_bench.audit.lines import DIFFERS, EQUAL, EXPECTED, UNKNOWN, Line, Series

CLOCKS = ("step", "seconds", "images_per_second")
ERRORS = 4.0  # standard errors that two means of random numbers may be apart
FEWEST = 3  # logged steps, for a standard error


@frozen
class Rule:
    """How the curves whose name `pattern` matches are compared; `judge(a, b, other_task)` gives the verdict."""

    pattern: str
    says: str
    judge: Callable[[Series, Series, bool], str]


def curves(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """The scalars of a log by name."""
    names = dict.fromkeys(name for entry in entries for name in entry if name not in CLOCKS)
    return {name: [(e["step"], float(e[name])) for e in entries if name in e] for name in names}


def lines(first: Mapping[str, Series], second: Mapping[str, Series], other_task: bool) -> list[Line]:
    """One line for each curve of either run."""
    names = dict.fromkeys([*first, *second])
    order = sorted(names, key=lambda name: [rule.pattern for rule in RULES].index(_rule(name).pattern))
    return [_line(name, first.get(name, ()), second.get(name, ()), other_task) for name in order]


def _line(name: str, first: Series, second: Series, other_task: bool) -> Line:
    rule = _rule(name)
    a, b = late(first, second)
    verdict = rule.judge(a, b, other_task) if a and b else UNKNOWN
    return Line(
        group="logs", name=name, first=_mean(a or first), second=_mean(b or second), verdict=verdict, rule=rule.says
    )


def late(first: Series, second: Series) -> tuple[Series, Series]:
    """Of the steps that both logged, the second half."""
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
    """Two means of independent samples, or the very same numbers where seed and batch size are the same."""
    a, b = ([value for _, value in series] for series in (first, second))
    if a == b:
        return EQUAL
    if len(a) < FEWEST:
        return UNKNOWN
    error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / len(a))
    return EQUAL if abs(statistics.fmean(a) - statistics.fmean(b)) <= ERRORS * error else DIFFERS


def _ratio(equal: float, expected: float) -> Callable[[Series, Series, bool], str]:
    """Equal within a share of the larger mean; as expected within a factor, if the tasks differ."""

    def judge(first: Series, second: Series, other_task: bool) -> str:
        a, b = (statistics.fmean(value for _, value in series) for series in (first, second))
        small, large = sorted((abs(a), abs(b)))
        if large - small <= equal * large and a * b >= 0:
            return EQUAL
        return EXPECTED if other_task and a * b > 0 and large <= expected * small else DIFFERS

    return judge


def _shift(equal: float, expected: float) -> Callable[[Series, Series, bool], str]:
    """The same for what lies around zero: by how far the means are apart."""

    def judge(first: Series, second: Series, other_task: bool) -> str:
        a, b = (statistics.fmean(value for _, value in series) for series in (first, second))
        if abs(a - b) <= equal:
            return EQUAL
        return EXPECTED if other_task and abs(a - b) <= expected else DIFFERS

    return judge


def _of_task(first: Series, second: Series, other_task: bool) -> str:
    equal = _ratio(0.01, 1.0)(first, second, other_task)
    return EXPECTED if equal == DIFFERS and other_task else equal


#: The first one that matches a name holds for it.
RULES = (
    Rule(r"lr\..*", "the same at every step, to 1e-6", _exact),
    Rule(r"images", "the same at every step, to 1e-6", _exact),
    Rule(
        r"flops\.with_gradient",
        "within 1%; by the task up to a factor of 4, its condition having more tokens",
        _ratio(0.01, 4.0),
    ),
    Rule(r"flops\.without_gradient", "within 1%; by the task any, its encoder being frozen", _of_task),
    Rule(r"draws\..*", f"equal, or means over steps within {ERRORS:g} standard errors", _random),
    Rule(r"latent\.mean", "within 0.1; by the task up to 0.5, its images being others", _shift(0.1, 0.5)),
    Rule(r"latent\.std", "within 10%; by the task up to a factor of 1.5, its images being others", _ratio(0.1, 1.5)),
    Rule(r"grad_norm", "within 15%; by the task up to a factor of 3", _ratio(0.15, 3.0)),
    Rule(r"weights\..*", "within 10%; by the task up to a factor of 1.5", _ratio(0.1, 1.5)),
    Rule(r"update\..*", "within 15%; by the task up to a factor of 2", _ratio(0.15, 2.0)),
    Rule(r"state\..*", "within 25%; by the task up to a factor of 10, the square of a gradient's", _ratio(0.25, 10.0)),
    Rule(r".*", "within 15%; by the task up to a factor of 3", _ratio(0.15, 3.0)),  # losses
)
