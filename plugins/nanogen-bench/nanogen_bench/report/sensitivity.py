"""Section of sensitivity: does the agreement depend on one model, one group, or the range of x? Also shows power."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanogen_bench.correlation.groupings import plural
from nanogen_bench.correlation.results import LeaveOneOut, LeftOut, Pair, Power, WithinGroup
from nanogen_bench.report import tables
from nanogen_bench.report.forest import Interval, forest
from nanogen_bench.report.groups import Group
from nanogen_bench.report.markup import Content, Markup, element, folded
from nanogen_bench.report.tables import Head, bounds

Label = Callable[[str], str]


def sensitivity(groups: Sequence[Group], label: Label) -> list[Content]:
    """Build the sensitivity section.

    Args:
        groups: Groups of models.
        label: Function from column to title.
    """
    return [
        element("h3", "Leave one out"),
        _plot(groups[0], label),
        [folded(f"Leaving one out of {group.short}", _left_out(group, label)) for group in groups],
        [folded(f"Most influential of {group.short}", _influential(group, label)) for group in groups],
        _within(groups, label),
        _ranges(groups, label),
        _power(groups),
    ]


# -- leave one out -----------------------------------------------------------------------------------------------


def _plot(group: Group, label: Label) -> Markup:
    rows = [_interval(pair, view, group, label) for pair in group.pairs for view in pair.leave_one_out]
    plot = forest(rows, low=-1, high=1, zero=0, axis="agreement (Pearson)", summary="Agreement with one unit left out")
    caption = element(
        "figcaption",
        element(
            "p",
            f"Over {group.what}: range of the agreement when one model, or one group of models, is left out. The"
            " diamond is the agreement of all models. These are ranges, not confidence intervals.",
        ),
    )
    return element("figure", plot, caption, class_="beside")


def _interval(pair: Pair, view: LeaveOneOut, group: Group, label: Label) -> Interval:
    name = f"{label(pair.x)} and {label(pair.y)}, n = {pair.n}: {view.units} {plural(view.over)}"
    return Interval(name, view.low, pair.agreement, view.high, group.style, f"{name}: {bounds(view.low, view.high)}")


def _left_out(group: Group, label: Label) -> Markup:
    heads = [
        Head("Scores", text=True),
        Head("Left out in turn", text=True),
        *map(Head, ("All", "Lowest", "Highest")),
    ]
    heads += [Head(name, text=True) for name in ("Lowest without", "Highest without")]
    rows = [_view(pair, view, label) for pair in group.pairs for view in pair.leave_one_out]
    return tables.table(heads, rows, caption=f"Pearson’s agreement over {group.what} with one unit left out.")


def _view(pair: Pair, view: LeaveOneOut, label: Label) -> list[Content]:
    return [
        tables.name(f"{label(pair.x)} and {label(pair.y)}", f"n = {pair.n}"),
        tables.text(f"{view.units} {plural(view.over)}", element("small", view.reason) if view.reason else None),
        *(tables.figure(value, 3, sign=True) for value in (pair.agreement, view.low, view.high)),
        tables.text(element("bdi", view.without_low), element("small", f"n = {view.n_low}"), long=True),
        tables.text(element("bdi", view.without_high), element("small", f"n = {view.n_high}"), long=True),
    ]


def _influential(group: Group, label: Label) -> Markup:
    heads = [Head(name, text=True) for name in ("Left out", "Of", "Scores")]
    heads += [Head(name) for name in ("n left", "Agreement without", "Change", "Change in standard errors")]
    rows = [
        _influence(pair, view, one, label)
        for pair in group.pairs
        for view in pair.leave_one_out
        for one in view.most_influential
    ]
    caption = (
        f"Models and groups with the largest effect on Pearson’s agreement over {group.what}. Change: agreement with it"
        " minus agreement without it, also in standard errors of the jackknife. Changes beyond about 2 standard errors"
        " are large."
    )
    return tables.table(heads, rows, caption=caption)


def _influence(pair: Pair, view: LeaveOneOut, one: LeftOut, label: Label) -> list[Content]:
    return [
        tables.name(one.what),
        tables.text(view.over),
        tables.text(f"{label(pair.x)} and {label(pair.y)}"),
        tables.figure(one.n, 0),
        tables.figure(one.agreement, 3, sign=True),
        tables.figure(one.change, 3, sign=True),
        tables.figure(one.scaled, 2, sign=True),
    ]


# -- inside the groups -------------------------------------------------------------------------------------------


def _within(groups: Sequence[Group], label: Label) -> list[Content]:
    """Agreement within groups, over the largest set of models."""
    pairs = groups[-1].pairs
    inside = list(dict.fromkeys((one.over, one.group) for pair in pairs for one in pair.within_group))
    if not inside:
        return []
    heads = [Head("Group", text=True), Head("Of", text=True), *(Head(f"{label(p.x)} and {label(p.y)}") for p in pairs)]
    rows = [
        [tables.name(group), tables.text(over), [_inside(pair, over, group) for pair in pairs]]
        for over, group in inside
    ]
    caption = (
        "Pearson’s agreement within each group of at least 4 models, with the 95 % interval by Fisher’s z. It shows"
        " whether a relation exists within groups, or only between them."
    )
    return [element("h3", "Inside the groups"), tables.table(heads, rows, caption=caption)]


def _inside(pair: Pair, over: str, group: str) -> Markup:
    one: WithinGroup | None = next((one for one in pair.within_group if (one.over, one.group) == (over, group)), None)
    if one is None:
        return tables.figure(None, 3)
    return tables.figure(one.agreement, 3, sign=True, below=f"{bounds(one.low, one.high)}, n = {one.n}")


# -- the range of the models -------------------------------------------------------------------------------------


def _ranges(groups: Sequence[Group], label: Label) -> list[Content]:
    rows = [_range(pair, label) for group in groups for pair in group.pairs if pair.ranges]
    if not rows:
        return []
    names = ("Chosen: agreement", "Chosen: spread", "All: agreement", "All: spread", "Corrected", "Expected")
    caption = (
        "A smaller spread of the models reduces a correlation. Spread: standard deviation of the first score, with its"
        " range. Corrected: agreement of the chosen models, corrected to the spread of all (Thorndike’s case 2)."
        " Expected: agreement of all models, corrected to the spread of the chosen ones. The correction is"
        " exact only if models are chosen by the first score alone and the relation is linear with constant scatter."
    )
    heads = [Head("Scores", text=True), *map(Head, names)]
    return [element("h3", "Range of the models"), tables.table(heads, rows, caption=caption)]


def _range(pair: Pair, label: Label) -> list[Content]:
    view = pair.ranges
    assert view is not None
    return [
        tables.name(f"{label(pair.x)} and {label(pair.y)}"),
        tables.figure(pair.agreement, 3, sign=True, below=f"n = {view.n}"),
        tables.figure(view.spread, 2, below=f"{view.low:g} to {view.high:g}"),
        tables.figure(view.agreement_all, 3, sign=True, below=f"n = {view.n_all}"),
        tables.figure(view.spread_all, 2, below=f"{view.low_all:g} to {view.high_all:g}"),
        tables.figure(view.corrected, 3, sign=True),
        tables.figure(view.expected, 3, sign=True),
    ]


# -- the number of models ----------------------------------------------------------------------------------------


def _power(groups: Sequence[Group]) -> list[Content]:
    views = [view for group in groups for view in group.power]
    if not views:
        return []
    sizes = list(dict.fromkeys(size for view in views for size in view.power))
    names = ["|r| with 80 % power", *(f"Power at {size}" for size in sizes), *(f"n for {size}" for size in sizes)]
    caption = (
        "Power of a study of this size, at a two-sided level of 5 % by Fisher’s z: the correlation that is detected"
        " with 80 % power; the power for given correlations; the n for 80 % power."
    )
    rows = [_power_row(view, sizes) for view in views]
    table = tables.table([Head("Units", text=True), *map(Head, names)], rows, caption=caption)
    return [element("h3", "Power"), table]


def _power_row(view: Power, sizes: Sequence[str]) -> list[Content]:
    return [
        tables.name(f"{view.n} {view.over}"),
        tables.figure(view.detectable, 2),
        *(element("td", f"{100 * view.power[size]:.0f} %") for size in sizes),
        *(tables.figure(view.needed[size], 0) for size in sizes),
    ]
