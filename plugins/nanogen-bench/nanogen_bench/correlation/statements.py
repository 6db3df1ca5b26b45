"""Sentences about a study, with verdicts.

A sentence about all models is *supported* or *contradicted* only if all intervals agree. The intervals come from
bootstraps over models and over each grouping with enough groups, and from Fisher's z. Sentences with "goes with" or
"agrees more" also need a significant corrected p-value. A sentence with "within each" uses the interval of each group
by Fisher's z. It is *supported* if all lie above zero, and *contradicted* if one lies below. In all other cases a
sentence is *open*. A lack of significance alone supports no sentence: "says little" needs all intervals to be within
±0.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanogen_bench.correlation.groupings import number_of
from nanogen_bench.correlation.results import Difference, Interval, Pair, Power, Statement, WithinGroup

LITTLE, NEARLY = 0.3, 0.9  # agreement: "says little" below, "ranks nearly alike" from
ALPHA = 0.05


def summary(pair: Pair) -> str:
    """Summarize a pair: agreement, intervals, p-value and n."""
    intervals = decisive(pair.coefficient("pearson").intervals)
    spans = ", ".join(f"{span(one)} {source(one)}" for one in intervals) or "none (too few models)"
    return (
        f"Over these {pair.n} models, {_relation(pair)}: agreement {pair.agreement:+.3f} (Pearson's raw r "
        f"{pair.pearson:+.3f}, n = {pair.n}), 95% intervals {spans}; {probability(pair.p_holm)} after Holm's "
        f"correction. {_zero(intervals)}."
    )


def pair_statements(pair: Pair) -> list[Statement]:
    """Return the statements about one pair of scores."""
    intervals = decisive(pair.coefficient("pearson").intervals)
    found = f"agreement {pair.agreement:+.3f}, n = {pair.n}, 95% {_spans(intervals)}; {probability(pair.p_holm)} (Holm)"
    significant = pair.p_holm < ALPHA
    return [
        Statement(
            text=f"Better {pair.x} goes with better {pair.y}.",
            verdict=_verdict(
                significant and _all(intervals, lambda low, high: low > 0),
                significant and _all(intervals, lambda low, high: high < 0),
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
        *_within_group_statements(pair),
        *_range_statements(pair, intervals),
    ]


def difference_statement(difference: Difference) -> Statement:
    """Return the statement "x agrees more with A than with B". A is the score with the larger agreement."""
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
    """Return notes on the limits of a study: power, missing models, interpretation of intervals."""
    return [
        *(
            f"Power: {one.n} independent {one.over} detect |r| = {one.detectable:.2f} with 80% power. For a true r of "
            f"0.3 the power is {one.power['0.3']:.0%} (80% needs n = {one.needed['0.3']}), for 0.5 it is "
            f"{one.power['0.5']:.0%} (n = {one.needed['0.5']})."
            for one in power
        ),
        *dict.fromkeys(
            f"Left out of {pair.x} and {pair.y}, because a score is missing: {len(pair.missing)} of the chosen models "
            f"({', '.join(pair.missing)})."
            for pair in pairs
            if pair.missing
        ),
        "Intervals and p-values treat the models as a random sample, which they are not. They show how much a number "
        "depends on the choice of models, not the noise of each score.",
    ]


def decisive(intervals: Sequence[Interval]) -> list[Interval]:
    """Return the intervals that have bounds."""
    return [one for one in intervals if one.low is not None]


def span(interval: Interval) -> str:
    """Format the agreement bounds, such as `"+0.075 to +0.802"`."""
    return f"{interval.agreement_low:+.3f} to {interval.agreement_high:+.3f}"


def source(interval: Interval) -> str:
    """Describe the method: `"over 21 models"`, `"over 11 tokenizers"` or `"by Fisher's z"`."""
    return "by Fisher's z" if interval.method == "fisher" else f"over {number_of(interval.units, interval.over)}"


def probability(p: float) -> str:
    """Format a p-value, such as `"p = 0.012"` or `"p < 0.001"`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _within_group_statements(pair: Pair) -> list[Statement]:
    """Return the statements about relations within groups, for each grouping with two or more groups of 4 models."""
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


def _range_statements(pair: Pair, intervals: list[Interval]) -> list[Statement]:
    view = pair.ranges
    if view is None:
        return []
    wider = view.spread_all / view.spread
    narrower = "narrower" if wider > 1 else "wider"
    return [
        Statement(
            text=(
                f"These {view.n} models have the same agreement as all {view.n_all} models, {view.agreement_all:+.3f}."
            ),
            verdict=_verdict(False, _outside(intervals, view.agreement_all)),
            because=(
                f"{pair.agreement:+.3f} over these, n = {view.n}; the spread of {pair.x} over all models is "
                f"{wider:.1f} times as large, n = {view.n_all}"
            ),
        ),
        Statement(
            text=(
                f"The {narrower} range of {pair.x} explains the change of agreement from {view.agreement_all:+.3f} "
                f"(all models) to {pair.agreement:+.3f}."
            ),
            verdict=_verdict(False, _outside(intervals, view.expected)),
            because=(
                f"at the spread of these models, n = {view.n}, the agreement of all, n = {view.n_all}, would be "
                f"{view.expected:+.3f} (Thorndike's case 2)"
            ),
        ),
    ]


def _outside(intervals: Sequence[Interval], value: float) -> bool:
    return _all(intervals, lambda low, high: not low <= value <= high)


def _zero(intervals: Sequence[Interval]) -> str:
    """Return whether the intervals include zero, as a sentence."""
    around = [one for one in intervals if not _all([one], lambda low, high: low > 0 or high < 0)]
    if around:
        return f"The interval {source(around[0])} includes zero, so there may be no relation"
    return "No interval includes zero" if intervals else "Without an interval, there may be no relation"


def _relation(pair: Pair) -> str:
    better, worse = (pair.y_better, "lower" if pair.y_better == "higher" else "higher")
    direction = better if pair.agreement >= 0 else f"{worse} (worse)"
    return f"{pair.x_better} {pair.x} goes with {direction} {pair.y}"


def _spans(intervals: Sequence[Interval]) -> str:
    return "; ".join(f"{span(one)} {source(one)}" for one in intervals) or "interval: none"


def _all(intervals: Sequence[Interval], holds: Callable[[float, float], bool]) -> bool:
    bounds = [(one.agreement_low, one.agreement_high) for one in intervals]
    return bool(bounds) and all(low is not None and high is not None and holds(low, high) for low, high in bounds)


def _verdict(supported: bool, contradicted: bool) -> str:
    return "supported" if supported else "contradicted" if contradicted else "open"
