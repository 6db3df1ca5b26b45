"""A logged figure of two runs over their steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nanogen_bench.audit.lines import Series
from nanogen_bench.report import axes
from nanogen_bench.report.axes import Axis
from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import around, place

POINTS = 80  # of a curve; more would be less than a unit of the drawing apart


def curves(name: str, pair: tuple[Series, Series], tasks: Sequence[str]) -> Markup | None:
    """The drawing, solid for the first run and dashed for the second; None where they logged it at one step or none."""
    both = [_thinned(series) for series in pair]
    points = [point for series in both for point in series]
    if len({step for step, _ in points}) < 2:
        return None
    x = Axis("step", around([step for step, _ in points], axes.LEFT, axes.WIDTH - axes.RIGHT))
    y = Axis(name, around([value for _, value in points], axes.HEIGHT - axes.BOTTOM, axes.TOP))
    told = ", ".join(f"{task} {_told(series)}" for task, series in zip(tasks, both, strict=True))
    return element(
        "svg",
        axes.frame(x, y),
        [_curve(series, i, x, y) for i, series in enumerate(both)],
        class_="chart",
        viewBox=f"0 0 {axes.WIDTH} {axes.HEIGHT}",
        role="img",
        aria_label=f"{name} over the steps: {told}",
    )


def _curve(series: Series, i: int, x: Axis, y: Axis) -> Markup:
    points = " ".join(f"{place(x.scale(step))},{place(y.scale(value))}" for step, value in series)
    return element("polyline", class_=f"curve c{i}", points=points)


def _thinned(series: Series) -> Series:
    """At most POINTS points with a number, evenly, the last one among them."""
    finite = [(step, value) for step, value in series if math.isfinite(value)]
    return finite[::-1][:: math.ceil(len(finite) / POINTS) or 1][::-1]


def _told(series: Series) -> str:
    """Where a curve begins and ends, for those who do not see it."""
    return f"from {series[0][1]:.3g} to {series[-1][1]:.3g}" if series else "without numbers"
