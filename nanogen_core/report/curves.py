"""A logged figure of several runs over their steps: on a page, or as a file of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nanogen_core.bench.audit.lines import Series
from nanogen_core.report import axes
from nanogen_core.report.axes import Axis
from nanogen_core.report.labels import shortened
from nanogen_core.report.markup import Content, Markup, element, raw
from nanogen_core.report.scales import around, place

POINTS = 80  # of a curve; more would be less than a unit of the drawing apart
LEGEND = 14  # SVG units of a line of it
#: The little that a file of its own needs of page.css.
STYLE = """
svg { background: #fff; font-family: system-ui, sans-serif; }
text { fill: #1c1d21; font-size: 11px; }
line { stroke: #dcd9d0; }
.curve { fill: none; stroke-width: 1.5px; }
.c0 { stroke: #1f5fbf; }
.c1 { stroke: #b4500b; stroke-dasharray: 6 3; }
"""


def curves(name: str, series: Mapping[str, Series], *, alone: bool = False) -> Markup:
    """The drawing: solid for the first run, dashed for the second. `alone` makes it an SVG file, with its legend."""
    thinned = {label: _thinned(one) for label, one in series.items()}
    told = ", ".join(f"{label} {_told(one)}" for label, one in thinned.items())
    return element(
        "svg",
        raw("style", STYLE) if alone else None,
        _plot(name, list(thinned.values())),
        [_legend(label, i) for i, label in enumerate(series)] if alone else None,
        xmlns="http://www.w3.org/2000/svg" if alone else None,
        class_="chart",
        viewBox=f"0 0 {axes.WIDTH} {axes.HEIGHT + (LEGEND * len(series) + 6 if alone else 0)}",
        role="img",
        aria_label=f"{name} over the steps: {told}",
    )


def _plot(name: str, series: Sequence[Series]) -> Content:
    """The frame and the curves; the name alone where there is not a single number."""
    points = [point for one in series for point in one]
    if not points:
        return element("text", f"{name}: no numbers", class_="axis", x=2, y=12)
    x = Axis("step", around([step for step, _ in points], axes.LEFT, axes.WIDTH - axes.RIGHT))
    y = Axis(name, around([value for _, value in points], axes.HEIGHT - axes.BOTTOM, axes.TOP))
    return [axes.frame(x, y), [_curve(one, i, x, y) for i, one in enumerate(series)]]


def _curve(series: Series, i: int, x: Axis, y: Axis) -> Markup:
    points = " ".join(f"{place(x.scale(step))},{place(y.scale(value))}" for step, value in series)
    return element("polyline", class_=f"curve c{i}", points=points)


def _legend(label: str, i: int) -> list[Markup]:
    middle = axes.HEIGHT + LEGEND * i + LEGEND // 2
    line = element("polyline", class_=f"curve c{i}", points=f"{axes.LEFT},{middle} {axes.LEFT + 30},{middle}")
    return [line, element("text", shortened(label, 50), x=axes.LEFT + 36, y=middle + 4)]


def _thinned(series: Series) -> Series:
    """At most POINTS points with a number, evenly, the last one among them."""
    finite = [(step, value) for step, value in series if math.isfinite(value)]
    return finite[::-1][:: math.ceil(len(finite) / POINTS) or 1][::-1]


def _told(series: Series) -> str:
    """Where a curve begins and ends, for those who do not see it."""
    return f"from {series[0][1]:.3g} to {series[-1][1]:.3g}" if series else "without numbers"
