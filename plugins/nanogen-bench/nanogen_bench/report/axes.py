"""The frame of a drawing: lines at round values, their numbers, and what each axis shows."""

from __future__ import annotations

from attrs import frozen

from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import Scale, place

WIDTH, HEIGHT = 360, 300  # SVG units: a phone's width, so that 11 units of type stay readable there
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 22, 42  # margins around the plot


@frozen
class Axis:
    """What one direction shows: `label` says the quantity, its unit and which way is better."""

    label: str
    scale: Scale


def frame(x: Axis, y: Axis) -> Markup:
    """Lines and numbers of both axes; that of y stands above the plot, where it can be read level."""
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    across = [_level(y.scale, value, left, right) for value in y.scale.ticks()]
    upright = [_plumb(x.scale, value, top, bottom) for value in x.scale.ticks()]
    titles = (
        element("text", x.label, class_="axis", x=(left + right) // 2, y=HEIGHT - 6, text_anchor="middle"),
        element("text", y.label, class_="axis", x=2, y=12),
    )
    return element("g", across, upright, titles, class_="frame", aria_hidden="true")


def _level(scale: Scale, value: float, left: int, right: int) -> list[Markup]:
    at = scale(value)
    return [
        element("line", x1=left, x2=right, y1=place(at), y2=place(at)),
        element("text", scale.tick_text(value), x=left - 5, y=place(at + 4), text_anchor="end"),
    ]


def _plumb(scale: Scale, value: float, top: int, bottom: int) -> list[Markup]:
    at = scale(value)
    return [
        element("line", x1=place(at), x2=place(at), y1=top, y2=bottom),
        element("text", scale.tick_text(value), x=place(at), y=bottom + 14, text_anchor="middle"),
    ]
