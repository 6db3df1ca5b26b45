"""Axes of a plot: grid lines, tick labels and titles."""

from __future__ import annotations

from attrs import frozen

from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import Scale, place

WIDTH, HEIGHT = 360, 300  # SVG units; about the width of a phone, so that text remains readable
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 22, 42  # margins


@frozen
class Axis:
    """One axis. `label` names the quantity and says whether lower or higher is better."""

    label: str
    scale: Scale


def frame(x: Axis, y: Axis) -> Markup:
    """Draw grid, tick labels and titles of both axes. The title of y is horizontal, above the plot."""
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    horizontal = [_horizontal(y.scale, value, left, right) for value in y.scale.ticks()]
    vertical = [_vertical(x.scale, value, top, bottom) for value in x.scale.ticks()]
    titles = (
        element("text", x.label, class_="axis", x=(left + right) // 2, y=HEIGHT - 6, text_anchor="middle"),
        element("text", y.label, class_="axis", x=2, y=12),
    )
    return element("g", horizontal, vertical, titles, class_="frame", aria_hidden="true")


def _horizontal(scale: Scale, value: float, left: int, right: int) -> list[Markup]:
    at = scale(value)
    return [
        element("line", x1=left, x2=right, y1=place(at), y2=place(at)),
        element("text", scale.tick_text(value), x=left - 5, y=place(at + 4), text_anchor="end"),
    ]


def _vertical(scale: Scale, value: float, top: int, bottom: int) -> list[Markup]:
    at = scale(value)
    return [
        element("line", x1=place(at), x2=place(at), y1=top, y2=bottom),
        element("text", scale.tick_text(value), x=place(at), y=bottom + 14, text_anchor="middle"),
    ]
