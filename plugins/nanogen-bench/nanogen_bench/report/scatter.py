"""One score against another: a mark for each model, a line with its band for each group of models."""

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

STRIPS = 24  # of which a band's curved edges are made
ROOM = Box(axes.LEFT, axes.TOP, axes.WIDTH - axes.RIGHT, axes.HEIGHT - axes.BOTTOM)


@frozen
class Point:
    """One model. `description` is what a reader hears or sees of it: name, family and both scores."""

    name: str
    family: str
    x: float
    y: float
    description: str


@frozen
class Line:
    """The fit of one group of models, drawn where they lie. `style` is its class in page.css: `main` or `other`."""

    fit: Fit
    low: float
    high: float
    style: str


def scatter(
    points: Sequence[Point], marks: Mapping[str, Mark], lines: Sequence[Line], *, x: Axis, y: Axis, summary: str
) -> Markup:
    """The drawing. Points are a list that one tab stop enters and the arrow keys walk; `summary` is its name."""
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
    """The points from the outermost to the innermost: it is the outer ones that a reader asks after."""
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
    steps = [line.low + (line.high - line.low) * i / STRIPS for i in range(STRIPS + 1)]
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
    """An inner drawing of the plot's size: what leaves it is cut off."""
    x, y, width, height = ROOM.left, ROOM.top, ROOM.right - ROOM.left, ROOM.bottom - ROOM.top
    sides = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return element("svg", content, viewBox=f"{x:g} {y:g} {width:g} {height:g}", **sides)


def _path(spots: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{place(x)},{place(y)}" for x, y in spots)
