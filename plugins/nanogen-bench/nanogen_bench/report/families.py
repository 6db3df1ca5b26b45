"""Marks of families in plots and tables: a shape and a colour for each family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from nanogen_bench.report.markup import Markup, element

#: Coprime to the number of shapes, so that 56 families have different marks.
COLOURS = 7  # classes c0 to c6 of page.css
RADIUS = 5.0


def _polygon(*degrees: float, radii: Sequence[float] = (RADIUS * 1.2,)) -> str:
    """SVG path of a polygon around the origin. 0 degrees is up; `radii` are used in turn."""
    corners = []
    for i, angle in enumerate(map(math.radians, degrees)):
        radius = radii[i % len(radii)]
        corners.append(f"{radius * math.sin(angle):.1f} {-radius * math.cos(angle):.1f}")
    return f"M{'L'.join(corners)}Z"


CIRCLE = f"M-{RADIUS} 0a{RADIUS} {RADIUS} 0 1 0 {2 * RADIUS} 0a{RADIUS} {RADIUS} 0 1 0 -{2 * RADIUS} 0Z"
PLUS = "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"
SHAPES = {
    "circle": CIRCLE,
    "square": "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "triangle": _polygon(0, 120, 240),
    "diamond": _polygon(0, 90, 180, 270),
    "cross": PLUS,
    "triangle pointing down": _polygon(60, 180, 300),
    "star": _polygon(*range(0, 360, 36), radii=(RADIUS * 1.4, RADIUS * 0.6)),
    "bar": "M-6 -2H6V2H-6Z",
}


@frozen
class Mark:
    """Mark of a family: a key of `SHAPES` and the number of a colour."""

    shape: str
    colour: int

    def draw(self, x: str = "0", y: str = "0") -> Markup:
        """Return the mark as an SVG element at a position."""
        return element("path", class_=f"mark c{self.colour}", d=SHAPES[self.shape], transform=f"translate({x} {y})")

    def icon(self) -> Markup:
        """Return the mark as an inline SVG. Hidden from screen readers, because the family's name is next to it."""
        return element("svg", self.draw(), class_="icon", viewBox="-8 -8 16 16", aria_hidden="true")


def marks(families: Iterable[str]) -> Mapping[str, Mark]:
    """Return a mark for each family, in order of appearance."""
    shapes = list(SHAPES)
    names = dict.fromkeys(families)
    return {name: Mark(shapes[i % len(shapes)], i % COLOURS) for i, name in enumerate(names)}
