"""Sentences, made from the numbers, and what the numbers say to them.

A sentence is *supported* or *contradicted* only where every interval (bootstrap over models, over each grouping that
has enough groups, and Fisher's) says so, and for "related at all" the corrected p-value too; else it is *open*.
Nothing is supported by the absence of a finding: "says little" needs intervals that exclude more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanogen_bench.correlation.groupings import number_of
from nanogen_bench.correlation.results import Difference, Interval, Pair, Power, Statement, WithinGroup

LITTLE, NEARLY = 0.3, 0.9  # |agreement| below which x says little of y, and from which it ranks nearly alike
ALPHA = 0.05


def summary(pair: Pair) -> str:
    """One sentence with the agreement, its intervals, its p-value and n."""
    intervals = decisive(pair.coefficient("pearson").intervals)
    spans = ", ".join(f"{span(one)} {source(one)}" for one in intervals) or "none (too few models)"
    return (
        f"Over these {pair.n} models {_together(pair)}: agreement {pair.agreement:+.3f} (Pearson's raw r is "
        f"{pair.pearson:+.3f}, n = {pair.n}), 95% interval {spans}; {probability(pair.p_holm)} after Holm's "
        f"correction. {_zero(intervals)}."
    )


def pair_statements(pair: Pair) -> list[Statement]:
    intervals = decisive(pair.coefficient("pearson").intervals)
    found = f"agreement {pair.agreement:+.3f}, n = {pair.n}, 95% {_spans(intervals)}; {probability(pair.p_holm)} (Holm)"
    sure = pair.p_holm < ALPHA
    return [
        Statement(
            text=f"Better {pair.x} goes with better {pair.y}.",
            verdict=_verdict(
                sure and _all(intervals, lambda low, high: low > 0),
                sure and _all(intervals, lambda low, high: high < 0),
            ),
            because=found,
        ),
        Statement(
            text=f"{pair.x} says little about {pair.y} (agreement within ±{LITTLE}).",
            verdict=_verdict(
                _all(intervals, lambda low, high: max(-low, high) < LITTLE),
                _all(intervals, lambda low, high: low > LITTLE or high < -LITTLE),
            ),
            because=found,
        ),
        Statement(
            text=f"{pair.x} ranks models nearly as {pair.y} does (agreement {NEARLY} or more).",
            verdict=_verdict(
                _all(intervals, lambda low, high: low >= NEARLY),
                _all(intervals, lambda low, high: high < NEARLY),
            ),
            because=found,
        ),
        *_within_claims(pair),
        *_range_claims(pair, intervals),
    ]


def difference_claim(difference: Difference) -> Statement:
    """That x agrees more with one y than with the other, whichever way the estimates lie."""
    more, less = (difference.first, difference.second)[:: 1 if difference.difference >= 0 else -1]
    intervals = decisive(difference.intervals)
    one_sided = _all(intervals, lambda low, high: low > 0) or _all(intervals, lambda low, high: high < 0)
    return Statement(
        text=f"{difference.x} agrees more with {more} than with {less}.",
        verdict=_verdict(difference.p_holm < ALPHA and one_sided, False),
        because=(
            f"difference {abs(difference.difference):.3f}, n = {difference.n}, "
            f"Williams' t({difference.degrees}) = {abs(difference.t):.2f}, {probability(difference.p_holm)} (Holm)"
        ),
    )


def cautions(pairs: Sequence[Pair], power: Sequence[Power]) -> list[str]:
    """What to keep in mind, whatever the numbers."""
    return [
        *(
            f"With {one.n} independent {one.over} a study finds |r| = {one.detectable:.2f} in 80% of cases; a true 0.3 "
            f"in {one.power['0.3']:.0%} (for 80% it takes n = {one.needed['0.3']}), a true 0.5 in "
            f"{one.power['0.5']:.0%} (n = {one.needed['0.5']})."
            for one in power
        ),
        *dict.fromkeys(
            f"{len(pair.missing)} of the chosen models lack {pair.x} or {pair.y} and are not in that pair: "
            f"{', '.join(pair.missing)}."
            for pair in pairs
            if pair.missing
        ),
        "Intervals and p-values treat the models as drawn from some population of models; nobody drew them. They say "
        "how much the number hangs on which models are in the table, not how noisy each score is.",
    ]


def decisive(intervals: Sequence[Interval]) -> list[Interval]:
    """The intervals that have numbers."""
    return [one for one in intervals if one.low is not None]


def span(interval: Interval) -> str:
    """`"+0.075 to +0.802"`, as agreement."""
    return f"{interval.agreement_low:+.3f} to {interval.agreement_high:+.3f}"


def source(interval: Interval) -> str:
    """`"over 21 models"`, `"over 11 tokenizers"`, `"by Fisher's z"`."""
    return "by Fisher's z" if interval.method == "fisher" else f"over {number_of(interval.units, interval.over)}"


def probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _within_claims(pair: Pair) -> list[Statement]:
    """Whether the relation holds inside the groups of a grouping, where two or more are large enough to say."""
    by = {
        over: [one for one in pair.within_group if one.over == over] for over in {one.over for one in pair.within_group}
    }
    return [
        Statement(
            text=f"Better {pair.x} goes with better {pair.y} within each {over}.",
            verdict=_verdict(
                all(one.low is not None and one.low > 0 for one in groups),
                any(one.high is not None and one.high < 0 for one in groups),
            ),
            because="; ".join(f"{one.group} {_within_span(one)}, n = {one.n}" for one in groups),
        )
        for over, groups in sorted(by.items())
        if len(groups) > 1
    ]


def _within_span(one: WithinGroup) -> str:
    bounds = "" if one.low is None else f" ({one.low:+.3f} to {one.high:+.3f} by Fisher's z)"
    return f"{one.agreement:+.3f}{bounds}"


def _range_claims(pair: Pair, intervals: list[Interval]) -> list[Statement]:
    view = pair.ranges
    if view is None:
        return []
    wider = view.spread_all / view.spread
    narrower = "narrower" if wider > 1 else "wider"
    return [
        Statement(
            text=f"The agreement over all {view.n_all} models, {view.agreement_all:+.3f}, describes these {view.n}.",
            verdict=_verdict(False, _outside(intervals, view.agreement_all)),
            because=(
                f"{pair.agreement:+.3f} here, n = {view.n}; {pair.x} spreads {wider:.1f} times as wide over all, "
                f"n = {view.n_all}"
            ),
        ),
        Statement(
            text=f"The {narrower} range of {pair.x} alone turns {view.agreement_all:+.3f} into {pair.agreement:+.3f}.",
            verdict=_verdict(False, _outside(intervals, view.expected)),
            because=(
                f"at the spread of these, n = {view.n}, the agreement over all, n = {view.n_all}, would be "
                f"{view.expected:+.3f} (Thorndike's case 2)"
            ),
        ),
    ]


def _outside(intervals: Sequence[Interval], value: float) -> bool:
    return _all(intervals, lambda low, high: not low <= value <= high)


def _zero(intervals: Sequence[Interval]) -> str:
    around = [one for one in intervals if not _all([one], lambda low, high: low > 0 or high < 0)]
    if around or not intervals:
        whose = f"The interval {source(around[0])} holds zero: that" if around else "That"
        return f"{whose} they are unrelated is not excluded"
    return "No interval holds zero"


def _together(pair: Pair) -> str:
    better, worse = (pair.y_better, "lower" if pair.y_better == "higher" else "higher")
    way = better if pair.agreement >= 0 else f"{worse}, so worse,"
    return f"a {pair.x_better} {pair.x} goes with a {way} {pair.y}"


def _spans(intervals: Sequence[Interval]) -> str:
    return "; ".join(f"{span(one)} {source(one)}" for one in intervals) or "interval: none"


def _all(intervals: Sequence[Interval], holds: Callable[[float, float], bool]) -> bool:
    bounds = [(one.agreement_low, one.agreement_high) for one in intervals]
    return bool(bounds) and all(low is not None and high is not None and holds(low, high) for low, high in bounds)


def _verdict(supported: bool, contradicted: bool) -> str:
    return "supported" if supported else "contradicted" if contradicted else "open"
