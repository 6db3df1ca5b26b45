"""Each score of one task against that of the other."""

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


def against(groups: Sequence[Group], marks: Mapping[str, Mark], family: Family, label: Label) -> list[Content]:
    """The section's content: a key, and the drawings of each group, in the wider ones with the lines of all."""
    drawn = [
        element("div", [_figure(pair, groups[: i + 1], marks, family, label) for pair in group.pairs], class_="charts")
        for i, group in enumerate(groups)
    ]
    return [
        _key(groups, marks),
        [[element("h3", f"Over {group.what}"), one] for group, one in zip(groups, drawn, strict=True)],
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
    drawn = [
        Point(one.model, family(one.model), one.x, one.y, f"{one.model}\n{x} {one.x:g}, {y} {one.y:g}")
        for one in pair.points
    ]
    across = Axis(f"{x} (better →)", _scale([p.x for p in drawn], pair.x_better, axes.LEFT, axes.WIDTH - axes.RIGHT))
    upright = Axis(f"{y} (better ↑)", _scale([p.y for p in drawn], pair.y_better, axes.HEIGHT - axes.BOTTOM, axes.TOP))
    found = [(group, group.pair(pair.x, pair.y)) for group in groups]
    lines = [line for group, one in reversed(found) if (line := _line(one, group.style))]
    told = f"{y} against {x} of {pair.n} models, better to the right and to the top"
    drawing = scatter(drawn, marks, lines, x=across, y=upright, summary=told)
    caption = element(
        "figcaption", element("strong", f"{y} against {x}."), [_found(group, one) for group, one in found]
    )
    return element("figure", drawing, caption)


def _scale(values: Sequence[float], better: str, start: int, end: int) -> Scale:
    """Better is to the right and to the top, whichever way the numbers run."""
    return around(values, end, start) if better == LOWER else around(values, start, end)


def _line(pair: Pair, style: str) -> Line | None:
    xs, ys = [point.x for point in pair.points], [point.y for point in pair.points]
    found = fit(xs, ys)
    return Line(found, min(xs), max(xs), style) if found else None


def _found(group: Group, pair: Pair) -> str:
    interval = bounds(pair.agreement_ci_low, pair.agreement_ci_high, 2)
    raw = f"raw r {signed(pair.pearson)}"
    return f" Over {group.short}: agreement {signed(pair.agreement)}, 95 % {interval}; {raw}; n = {pair.n}."
