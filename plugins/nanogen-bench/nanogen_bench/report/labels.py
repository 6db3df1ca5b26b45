"""Placement of names next to points. A name is left out if it fits on none of four sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

SIZE = 9.5  # font size in SVG units
WIDTH = 0.6  # average width of a character, in font sizes
DISTANCE = 8.0  # from the centre of a point to its name
LONGEST = 22  # maximum number of characters of a name


@frozen
class Box:
    """Rectangle in SVG units."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Return whether two boxes overlap."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        """Return whether this box is inside another one."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@frozen
class Label:
    """Text at a position."""

    text: str
    x: float
    y: float  # baseline
    anchor: str  # SVG text-anchor
    box: Box  # area that the text covers


def labels(points: Sequence[tuple[float, float, str]], room: Box, order: Sequence[int]) -> list[Label]:
    """Place names next to points.

    Args:
        points: Positions and names (x, y, name).
        room: Area that names must not leave.
        order: Indices of the points in order of priority.

    Returns:
        The names that fit.
    """
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    found = []
    for index in order:
        label = next((label for label in _sides(*points[index]) if _free(label.box, room, taken)), None)
        if label:
            found.append(label)
            taken.append(label.box)
    return found


def shortened(name: str, longest: int = LONGEST) -> str:
    """Shorten a name to a maximum number of characters, with an ellipsis."""
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def _free(box: Box, room: Box, taken: Sequence[Box]) -> bool:
    return box.inside(room) and not any(box.meets(other) for other in taken)


def _sides(x: float, y: float, name: str) -> Iterator[Label]:
    text = shortened(name)
    wide = len(text) * SIZE * WIDTH
    for anchor, left, baseline in (
        ("start", x + DISTANCE, y + SIZE / 3),
        ("end", x - DISTANCE - wide, y + SIZE / 3),
        ("middle", x - wide / 2, y - DISTANCE),
        ("middle", x - wide / 2, y + DISTANCE + SIZE * 0.7),
    ):
        at = {"start": left, "middle": left + wide / 2, "end": left + wide}[anchor]
        yield Label(text, at, baseline, anchor, Box(left, baseline - SIZE * 0.8, left + wide, baseline + SIZE * 0.2))
