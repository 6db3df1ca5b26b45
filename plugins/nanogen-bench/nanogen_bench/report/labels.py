"""Names beside points, where they fit: each is tried on four sides, and left out where every side is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

SIZE = 9.5  # of the font, SVG units
WIDTH = 0.6  # of a character of a system font, in font sizes: what they are on average
AWAY = 8.0  # from a point's centre to its name
LONGEST = 22  # characters that a name on a drawing may have


@frozen
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@frozen
class Label:
    text: str
    x: float
    y: float  # of the baseline
    anchor: str
    box: Box


def labels(points: Sequence[tuple[float, float, str]], room: Box, order: Sequence[int]) -> list[Label]:
    """The names of those points (x, y, name) that fit inside the room; those first in `order` choose first."""
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    found = []
    for index in order:
        fitting = next((label for label in _sides(*points[index]) if _free(label.box, room, taken)), None)
        if fitting:
            found.append(fitting)
            taken.append(fitting.box)
    return found


def shortened(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def _free(box: Box, room: Box, taken: Sequence[Box]) -> bool:
    return box.inside(room) and not any(box.meets(other) for other in taken)


def _sides(x: float, y: float, name: str) -> Iterator[Label]:
    text = shortened(name)
    wide = len(text) * SIZE * WIDTH
    for anchor, left, baseline in (
        ("start", x + AWAY, y + SIZE / 3),
        ("end", x - AWAY - wide, y + SIZE / 3),
        ("middle", x - wide / 2, y - AWAY),
        ("middle", x - wide / 2, y + AWAY + SIZE * 0.7),
    ):
        at = {"start": left, "middle": left + wide / 2, "end": left + wide}[anchor]
        yield Label(text, at, baseline, anchor, Box(left, baseline - SIZE * 0.8, left + wide, baseline + SIZE * 0.2))
