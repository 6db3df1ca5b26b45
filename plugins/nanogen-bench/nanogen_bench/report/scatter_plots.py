"""Section of scatter plots: each score of one task against each score of the other task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nanogen_bench.correlation.directions import LOWER
from nanogen_bench.correlation.results import Pair
from nanogen_bench.report import axes
from nanogen_bench.report.axes import Axis
from nanogen_bench.report.families import Mark
from nanogen_bench.report.fit import fit
from nanogen_bench.report.groups import Group
from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.scales import Scale, around
from nanogen_bench.report.scatter import Line, Point, scatter
from nanogen_bench.report.tables import bounds, signed

Label = Callable[[str], str]
Family = Callable[[str], str]


def scatter_plots(groups: Sequence[Group], marks: Mapping[str, Mark], family: Family, label: Label) -> list[Content]:
    """Build the scatter plots section: a legend, and the plots of each group.

    The plots of a group also show the fits of the groups before it in `groups`.

    Args:
        groups: Groups of models.
        marks: Mark of each family.
        family: Function from model to family.
        label: Function from column to title.
    """
    plots = [
        element("div", [_figure(pair, groups[: i + 1], marks, family, label) for pair in group.pairs], class_="charts")
        for i, group in enumerate(groups)
    ]
    return [
        _key(groups, marks),
        [[element("h3", f"Over {group.what}"), one] for group, one in zip(groups, plots, strict=True)],
    ]


def _key(groups: Sequence[Group], marks: Mapping[str, Mark]) -> Markup:
    families = [element("li", mark.icon(), " ", element("bdi", name or "no family")) for name, mark in marks.items()]
    lines = [element("li", _sample(group.style), f" {group.what}") for group in groups]
    return element("ul", families if len(marks) > 1 else None, lines, class_="key")


def _sample(style: str) -> Markup:
    line = element("polyline", class_=f"fit {style}", points="0,5 30,5")
    return element("svg", line, class_="sample", viewBox="0 0 30 10", aria_hidden="true")


def _figure(pair: Pair, groups: Sequence[Group], marks: Mapping[str, Mark], family: Family, label: Label) -> Markup:
    x, y = label(pair.x), label(pair.y)
    points = [
        Point(one.model, family(one.model), one.x, one.y, f"{one.model}\n{x} {one.x:g}, {y} {one.y:g}")
        for one in pair.points
    ]
    x_axis = Axis(f"{x} (better →)", _scale([p.x for p in points], pair.x_better, axes.LEFT, axes.WIDTH - axes.RIGHT))
    y_axis = Axis(f"{y} (better ↑)", _scale([p.y for p in points], pair.y_better, axes.HEIGHT - axes.BOTTOM, axes.TOP))
    pairs = [(group, group.pair(pair.x, pair.y)) for group in groups]
    lines = [line for group, one in reversed(pairs) if (line := _line(one, group.style))]
    summary = f"{y} against {x} of {pair.n} models. Better scores are to the right and to the top."
    plot = scatter(points, marks, lines, x=x_axis, y=y_axis, summary=summary)
    caption = element(
        "figcaption", element("strong", f"{y} against {x}."), [_agreement(group, one) for group, one in pairs]
    )
    return element("figure", plot, caption)


def _scale(values: Sequence[float], better: str, start: int, end: int) -> Scale:
    """Scale with better values at the end, for either direction."""
    return around(values, end, start) if better == LOWER else around(values, start, end)


def _line(pair: Pair, style: str) -> Line | None:
    xs, ys = [point.x for point in pair.points], [point.y for point in pair.points]
    line = fit(xs, ys)
    return Line(line, min(xs), max(xs), style) if line else None


def _agreement(group: Group, pair: Pair) -> str:
    interval = bounds(pair.agreement_ci_low, pair.agreement_ci_high, 2)
    raw = f"raw r {signed(pair.pearson)}"
    return f" Over {group.short}: agreement {signed(pair.agreement)}, 95 % {interval}; {raw}; n = {pair.n}."
