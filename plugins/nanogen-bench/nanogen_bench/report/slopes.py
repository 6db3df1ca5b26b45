"""Slope chart of two rankings: a line per model, horizontal if both ranks are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from nanogen_bench.report.families import Mark
from nanogen_bench.report.labels import shortened
from nanogen_bench.report.markup import Markup, element
from nanogen_bench.report.scales import place

WIDTH, ROW, TOP = 360, 14, 30  # SVG units
LEFT, RIGHT = 132, WIDTH - 132  # horizontal positions of the rankings
MAX_MODELS = 40  # more models are not readable


@frozen
class Ranked:
    """Ranks of a model in both rankings. 1 is best; equal scores share their mean rank."""

    name: str
    family: str
    left: float
    right: float


def slopes(models: Sequence[Ranked], marks: Mapping[str, Mark], *, left: str, right: str, summary: str) -> Markup:
    """Draw a slope chart.

    Args:
        models: Models with their ranks.
        marks: Mark of each family.
        left: Title of the left ranking.
        right: Title of the right ranking.
        summary: Description for screen readers.
    """
    heads = [_head(left, LEFT, "end"), _head(right, RIGHT, "start")]
    rows = _rows(models)
    lines = [_line(model, marks[model.family], a, b) for model, a, b in rows]
    names = [
        [_end(model, marks[model.family], a, LEFT, "end"), _end(model, marks[model.family], b, RIGHT, "start")]
        for model, a, b in rows
    ]
    return element(
        "svg",
        heads,
        element("g", lines),
        element("g", names, class_="names"),
        class_="chart ranks",
        viewBox=f"0 0 {WIDTH} {TOP + ROW * len(models)}",
        role="img",
        aria_label=summary,
    )


def _head(text: str, x: int, anchor: str) -> Markup:
    return element("text", shortened(text, 26), class_="axis", x=x, y=12, text_anchor=anchor)


def _rows(models: Sequence[Ranked]) -> list[tuple[Ranked, int, int]]:
    """Return the models with their row on each side. Models of equal rank are ordered by the other side."""
    left = sorted(models, key=lambda model: (model.left, model.right))
    right = sorted(models, key=lambda model: (model.right, model.left))
    return [(model, row, right.index(model)) for row, model in enumerate(left)]


def _height(row: int, below: float = 0.0) -> str:
    return place(TOP + ROW * (row + 0.5) + below)


def _line(model: Ranked, mark: Mark, left: int, right: int) -> Markup:
    return element(
        "line",
        class_=f"slope c{mark.colour}",
        x1=LEFT + 6,
        x2=RIGHT - 6,
        y1=_height(left),
        y2=_height(right),
    )


def _end(model: Ranked, mark: Mark, row: int, x: int, anchor: str) -> list[Markup]:
    away = -8 if anchor == "end" else 8
    name = element("text", shortened(model.name), x=x + away, y=_height(row, 3.5), text_anchor=anchor)
    return [mark.draw(str(x), _height(row)), name]
