"""What marks a family on every drawing and in every table: a shape and a colour, never the colour alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from nanogen_bench.report.markup import Markup, element

#: Coprime counts, so that as many families as their product differ by shape and colour together.
COLOURS = 7  # the classes c0..c6 of page.css
RADIUS = 5.0


def _polygon(*degrees: float, radii: Sequence[float] = (RADIUS * 1.2,)) -> str:
    """A closed path through points around the origin; 0 degrees is up."""
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
    """How one family looks. `shape` is its name in words, for those who do not see it."""

    shape: str
    colour: int

    def draw(self, x: str = "0", y: str = "0") -> Markup:
        """The mark at a place of an SVG."""
        return element("path", class_=f"mark c{self.colour}", d=SHAPES[self.shape], transform=f"translate({x} {y})")

    def icon(self) -> Markup:
        """The mark in a line of text, passed over by a screen reader: the family's name stands beside it."""
        return element("svg", self.draw(), class_="icon", viewBox="-8 -8 16 16", aria_hidden="true")


def marks(families: Iterable[str]) -> Mapping[str, Mark]:
    """A mark for each family, in the order in which they first come."""
    shapes = list(SHAPES)
    names = dict.fromkeys(families)
    return {name: Mark(shapes[i % len(shapes)], i % COLOURS) for i, name in enumerate(names)}
