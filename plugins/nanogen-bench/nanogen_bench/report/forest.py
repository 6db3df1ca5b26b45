"""Forest plot: estimates with intervals, one per row, on a common axis."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from nanogen_bench.report.labels import shortened
from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import Scale, place

WIDTH, ROW, TOP, BOTTOM = 360, 30, 8, 30  # SVG units
LONGEST = 60  # maximum number of characters of a row's name


@frozen
class Interval:
    """Row of a forest plot. `style` is its CSS class (page.css); screen readers read `description`."""

    name: str
    low: float | None
    middle: float
    high: float | None
    style: str
    description: str


def forest(rows: Sequence[Interval], *, low: float, high: float, zero: float, axis: str, summary: str) -> Markup:
    """Draw a forest plot.

    Args:
        rows: Estimates with intervals.
        low: Start of the axis.
        high: End of the axis.
        zero: Value that means no effect. It gets a stronger line.
        axis: Title of the axis.
        summary: Description for screen readers.
    """
    scale = Scale(low, high, 14, WIDTH - 14)
    drawn = [_row(row, TOP + ROW * i, scale) for i, row in enumerate(rows)]
    return element(
        "svg",
        _frame(scale, zero, len(rows), axis),
        element("g", drawn, class_="rows"),
        class_="chart forest",
        viewBox=f"0 0 {WIDTH} {TOP + ROW * len(rows) + BOTTOM}",
        role="group",
        aria_label=summary,
    )


def _frame(scale: Scale, zero: float, rows: int, axis: str) -> Markup:
    """Draw grid lines behind the intervals (but not behind the names), tick labels and title."""
    bottom = TOP + ROW * rows
    lines = [
        element(
            "line",
            class_="zero" if value == zero else None,
            x1=place(scale(value)),
            x2=place(scale(value)),
            y1=TOP + ROW * row + ROW // 2,
            y2=TOP + ROW * (row + 1) - 2,
        )
        for value in scale.ticks(4)
        for row in range(rows)
    ]
    texts = [
        element("text", scale.tick_text(value, 4), x=place(scale(value)), y=bottom + 12, text_anchor="middle")
        for value in scale.ticks(4)
    ]
    title = element("text", axis, class_="axis", x=WIDTH // 2, y=bottom + BOTTOM - 4, text_anchor="middle")
    return element("g", lines, texts, title, class_="frame", aria_hidden="true")


def _row(row: Interval, top: int, scale: Scale) -> Markup:
    middle = top + ROW - 9
    inside = [min(max(value, scale.low), scale.high) for value in (row.low, row.high) if value is not None]
    ends = [place(scale(value)) for value in inside]
    whisker = (
        element("line", class_="whisker", x1=ends[0], x2=ends[1], y1=middle, y2=middle) if len(ends) == 2 else None
    )
    dot = f"translate({place(scale(row.middle))} {middle})"
    return element(
        "g",
        element("title", row.description),
        element("text", shortened(row.name, LONGEST), class_="name", x=2, y=top + 11),
        whisker,
        element("path", class_="estimate", d="M-5 0L0 -5L5 0L0 5Z", transform=dot),
        class_=f"row {row.style}",
        role="img",
        aria_label=row.description,
    )
