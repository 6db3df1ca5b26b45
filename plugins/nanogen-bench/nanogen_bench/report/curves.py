"""Plot of a logged value of one or two runs over training steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nanogen_bench.audit.lines import Series
from nanogen_bench.report import axes
from nanogen_bench.report.axes import Axis
from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import around, place

POINTS = 80  # maximum number of points of a curve; more would be less than a unit apart


def curves(name: str, runs: Sequence[Series], tasks: Sequence[str]) -> Markup | None:
    """Plot the curves of one or two runs, the first solid and the second dashed.

    Args:
        name: Name of the logged value.
        runs: Curve of each run, as (step, value) pairs. A curve may be empty.
        tasks: Task of each run.

    Returns:
        The plot; None if there are fewer than two steps with finite values.
    """
    thinned = [_thinned(series) for series in runs]
    points = [point for series in thinned for point in series]
    if len({step for step, _ in points}) < 2:
        return None
    x = Axis("step", around([step for step, _ in points], axes.LEFT, axes.WIDTH - axes.RIGHT))
    y = Axis(name, around([value for _, value in points], axes.HEIGHT - axes.BOTTOM, axes.TOP))
    summary = ", ".join(f"{task} {_summary(series)}" for task, series in zip(tasks, thinned, strict=True))
    return element(
        "svg",
        axes.frame(x, y),
        [_curve(series, i, x, y) for i, series in enumerate(thinned)],
        class_="chart",
        viewBox=f"0 0 {axes.WIDTH} {axes.HEIGHT}",
        role="img",
        aria_label=f"{name} over the steps: {summary}",
    )


def _curve(series: Series, i: int, x: Axis, y: Axis) -> Markup:
    points = " ".join(f"{place(x.scale(step))},{place(y.scale(value))}" for step, value in series)
    return element("polyline", class_=f"curve c{i}", points=points)


def _thinned(series: Series) -> Series:
    """Reduce a curve to at most POINTS evenly spaced finite points, including the last one."""
    finite = [(step, value) for step, value in series if math.isfinite(value)]
    return finite[::-1][:: math.ceil(len(finite) / POINTS) or 1][::-1]


def _summary(series: Series) -> str:
    """First and last value of a curve, for screen readers."""
    return f"from {series[0][1]:.3g} to {series[-1][1]:.3g}" if series else "without values"
