"""Scatter plot of two scores: a mark per model, and a fitted line with confidence band per group of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from nanogen_bench.report import axes
from nanogen_bench.report.axes import Axis
from nanogen_bench.report.families import Mark
from nanogen_bench.report.fit import Fit
from nanogen_bench.report.labels import SIZE, Box, Label, labels
from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import Scale, place

SEGMENTS = 24  # line segments of each edge of a band
ROOM = Box(axes.LEFT, axes.TOP, axes.WIDTH - axes.RIGHT, axes.HEIGHT - axes.BOTTOM)


@frozen
class Point:
    """One model. `description` is its tooltip, which screen readers also read."""

    name: str
    family: str
    x: float
    y: float
    description: str


@frozen
class Line:
    """Fit of one group of models, drawn from `low` to `high`. `style` is its CSS class: `main` or `other`."""

    fit: Fit
    low: float
    high: float
    style: str


def scatter(
    points: Sequence[Point], marks: Mapping[str, Mark], lines: Sequence[Line], *, x: Axis, y: Axis, summary: str
) -> Markup:
    """Draw a scatter plot. The Tab key focuses the first point, and arrow keys move between points.

    Args:
        points: The models.
        marks: Mark of each family.
        lines: Fitted lines.
        x: Horizontal axis.
        y: Vertical axis.
        summary: Description for screen readers.
    """
    ordered = sorted(points, key=lambda point: x.scale(point.x))
    spots = [(x.scale(point.x), y.scale(point.y)) for point in ordered]
    drawn = [
        _point(point, marks[point.family], spot, first=not i)
        for i, (point, spot) in enumerate(zip(ordered, spots, strict=True))
    ]
    named = [(*spot, point.name) for spot, point in zip(spots, ordered, strict=True)]
    return element(
        "svg",
        axes.frame(x, y),
        _window([_line(line, x.scale, y.scale) for line in lines]),
        element(
            "g", [_name(label) for label in labels(named, ROOM, _outermost(spots))], class_="names", aria_hidden="true"
        ),
        element("g", drawn, class_="points"),
        class_="chart",
        viewBox=f"0 0 {axes.WIDTH} {axes.HEIGHT}",
        role="group",
        aria_label=summary,
    )


def _outermost(spots: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points by distance from the median, largest first.

    Outer points get their names first.
    """
    middle_x, middle_y = (sorted(values)[len(spots) // 2] for values in zip(*spots, strict=True))
    return sorted(range(len(spots)), key=lambda i: -((spots[i][0] - middle_x) ** 2 + (spots[i][1] - middle_y) ** 2))


def _point(point: Point, mark: Mark, spot: tuple[float, float], *, first: bool) -> Markup:
    return element(
        "g",
        element("title", point.description),
        mark.draw(place(spot[0]), place(spot[1])),
        class_="point",
        role="img",
        aria_label=point.description,
        tabindex=0 if first else -1,
    )


def _name(label: Label) -> Markup:
    return element(
        "text", label.text, x=place(label.x), y=place(label.y), text_anchor=label.anchor, font_size=f"{SIZE:g}"
    )


def _line(line: Line, x: Scale, y: Scale) -> Markup:
    steps = [line.low + (line.high - line.low) * i / SEGMENTS for i in range(SEGMENTS + 1)]
    upper = [(x(at), y(line.fit.at(at) + line.fit.half_width(at))) for at in steps]
    lower = [(x(at), y(line.fit.at(at) - line.fit.half_width(at))) for at in reversed(steps)]
    ends = [(x(at), y(line.fit.at(at))) for at in (line.low, line.high)]
    return element(
        "g",
        element("polygon", class_="band", points=_path([*upper, *lower])),
        element("polyline", class_="fit", points=_path(ends)),
        class_=f"line {line.style}",
        aria_hidden="true",
    )


def _window(content: list[Markup]) -> Markup:
    """Clip content to the area of the plot."""
    x, y, width, height = ROOM.left, ROOM.top, ROOM.right - ROOM.left, ROOM.bottom - ROOM.top
    sides = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return element("svg", content, viewBox=f"{x:g} {y:g} {width:g} {height:g}", **sides)


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{place(x)},{place(y)}" for x, y in spots)
