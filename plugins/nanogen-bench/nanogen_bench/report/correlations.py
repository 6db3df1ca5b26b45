"""Section of correlations: a forest plot of agreements, tables of all coefficients, tests of differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanogen_bench.correlation.groupings import plural
from nanogen_bench.correlation.results import Coefficient, Difference, Pair
from nanogen_bench.correlation.results import Interval as Bounds
from nanogen_bench.report import tables
from nanogen_bench.report.forest import Interval, forest
from nanogen_bench.report.groups import Group
from nanogen_bench.report.markup import Content, Markup, element, folded
from nanogen_bench.report.scales import number
from nanogen_bench.report.tables import Head, bounds, signed

Label = Callable[[str], str]
METHODS = {"bca": "over", "fisher": "Fisher’s z over"}
NAMES = {"pearson": "Pearson r", "spearman": "Spearman ρ", "kendall": "Kendall τ"}


def correlations(groups: Sequence[Group], label: Label) -> list[Content]:
    """Build the correlations section.

    Args:
        groups: Groups of models.
        label: Function from column to title.
    """
    every = [
        folded(f"Every coefficient over {group.short}", _all(group, label), open=group is groups[0]) for group in groups
    ]
    return [_plot(groups, label), every, _differences(groups, label)]


def p_text(p: float) -> str:
    """Format a p-value with three decimals, or as `"< 0.001"`."""
    return "< 0.001" if p < 0.001 else number(p, 3)


def _plot(groups: Sequence[Group], label: Label) -> Markup:
    order = [(pair.x, pair.y) for pair in groups[0].pairs]
    rows = [_interval(group.pair(*key), group, label) for key in order for group in groups]
    plot = forest(
        rows,
        low=-1,
        high=1,
        zero=0,
        axis="agreement (Pearson)",
        summary="Agreement of each pair with its 95 % interval",
    )
    shown = {"main": "filled, solid", "other": "hollow, dashed"}
    caption = element(
        "figcaption",
        element(
            "p",
            "The agreement is Pearson’s coefficient after changing the sign of scores in which lower is better. It is"
            " +1 only if all models lie on one straight line; an equal order of the models is not enough. Lines are"
            " 95 % bootstrap intervals (BCa) over models.",
        ),
        element("ul", [element("li", f"{shown[group.style]}: {group.what}") for group in groups]),
    )
    return element("figure", plot, caption, class_="beside")


def _interval(pair: Pair, group: Group, label: Label) -> Interval:
    name = f"{label(pair.x)} and {label(pair.y)}, n = {pair.n}"
    low, high = pair.agreement_ci_low, pair.agreement_ci_high
    return Interval(
        name, low, pair.agreement, high, group.style, f"{name}: {signed(pair.agreement)}, {bounds(low, high)}"
    )


# -- all coefficients --------------------------------------------------------------------------------------------


def _all(group: Group, label: Label) -> Markup:
    kinds = _kinds(group)
    heads = [
        *(Head(name, text=True) for name in ("Scores", "Coefficient")),
        *(Head(name) for name in ("Raw", "Raw: over models", "Agreement")),
        *(Head(f"Agreement: {METHODS[method]} {plural(over)}") for over, method in kinds),
        *(Head(name) for name in ("p", "p, Holm")),
    ]
    rows = [_row(pair, one, kinds, label) for pair in group.pairs for one in pair.coefficients]
    study = group.studies[0]
    caption = (
        f"Over {group.what}. Raw: the coefficient of the two columns as they are. Intervals: 95 %, by bootstrap (BCa,"
        f" {study.draws:,} draws) over models, or over whole groups of models. p: two-sided permutation test; Holm’s"
        " correction is over the pairs with the same first score."
        + "".join(f" No interval over {plural(over)}: {reason}." for over, reason in _reasons(group).items())
    )
    return tables.table(heads, rows, caption=caption)


def _intervals(group: Group) -> list[Bounds]:
    return [interval for pair in group.pairs for one in pair.coefficients for interval in one.intervals]


def _kinds(group: Group) -> list[tuple[str, str]]:
    """Return the units and methods of all intervals that exist."""
    return list(dict.fromkeys((one.over, one.method) for one in _intervals(group) if one.low is not None))


def _reasons(group: Group) -> dict[str, str]:
    """Return the reason for each unit without any interval."""
    kinds = _kinds(group)
    return {one.over: one.reason for one in _intervals(group) if one.reason and (one.over, one.method) not in kinds}


def _row(pair: Pair, one: Coefficient, kinds: Sequence[tuple[str, str]], label: Label) -> list[Content]:
    first = one.interval("models")
    return [
        tables.name(f"{label(pair.x)} and {label(pair.y)}", f"n = {pair.n}"),
        tables.text(NAMES.get(one.name, one.name)),
        tables.figure(one.raw, 3, sign=True),
        element("td", bounds(first.low, first.high) if first else tables.MISSING),
        tables.figure(one.agreement, 3, sign=True),
        [_bounds(one.interval(over, method)) for over, method in kinds],
        element("td", p_text(one.p_value)),
        element("td", p_text(one.p_holm)),
    ]


def _bounds(interval: Bounds | None) -> Markup:
    """Cell of an interval with its number of units, or with the reason why there is none."""
    if interval is None:
        return element("td", tables.MISSING)
    shown = bounds(interval.agreement_low, interval.agreement_high)
    return element("td", shown, element("small", interval.reason or f"{interval.units} units"))


# -- differences between agreements ------------------------------------------------------------------------------


def _differences(groups: Sequence[Group], label: Label) -> list[Content]:
    rows = [_difference(one, label) for group in groups for one in group.differences]
    if not rows:
        return []
    names = ("n", "First", "Second", "Difference", "95 % interval", "Second with first", "Williams’ t", "p", "p, Holm")
    heads = [Head("Score: first or second", text=True), *map(Head, names)]
    caption = (
        "Does a score agree more with one score than with another? Over the models that have all three: Williams’ test"
        " for correlations that share a variable, with n − 3 degrees of freedom; interval by bootstrap over models."
    )
    return [element("h3", "Differences between agreements"), tables.table(heads, rows, caption=caption)]


def _difference(one: Difference, label: Label) -> list[Content]:
    interval = one.intervals[0]
    return [
        tables.name(f"{label(one.x)}: {label(one.first)} or {label(one.second)}"),
        tables.figure(one.n, 0),
        *(tables.figure(value, 3, sign=True) for value in (one.agreement_first, one.agreement_second, one.difference)),
        element("td", bounds(interval.agreement_low, interval.agreement_high)),
        tables.figure(one.between, 3, sign=True),
        tables.figure(one.t, 2, sign=True),
        element("td", p_text(one.p_value)),
        element("td", p_text(one.p_holm)),
    ]
