"""Bounding boxes as inclusive pixel corners (x1, y1, x2, y2), as in the published evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Box = Sequence[float]

LEFT, RIGHT, ABOVE, BELOW = "left of", "right of", "above", "below"
MARGIN = 0.1  # offset between centres that is ignored, as a share of the sum of the two sizes
ALONG = 0.5  # share of the distance that must lie along an axis for a relation along it
NEGLIGIBLE = 1e-3  # pixels


def box_of_mask(mask: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    """Return the bounding box of the nonzero pixels of a mask [H, W]; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def iou(a: Box, b: Box) -> float:
    """Intersection over union in [0, 1]. Corners are inclusive: a box from 0 to 9 is 10 pixels wide.

    Returns 0 if both boxes are empty.
    """
    shared = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    union = _area(a) + _area(b) - _area(shared)
    return _area(shared) / union if union else 0.0


def relations(a: Box, b: Box, *, margin: float = MARGIN) -> list[str]:
    """Return the relations of box `a` to box `b`: none, one or two of LEFT, RIGHT, ABOVE and BELOW.

    Along each axis, let d be the offset from the centre of `b` to the centre of `a`, and
    r = sign(d) max(|d| - margin (size_a + size_b), 0), with the sizes of the boxes along this axis. A relation holds if
    r points in its direction and |r| exceeds half of the distance between the centres.
    """
    offsets, sizes = [], []
    for axis in (0, 1):
        offsets.append((a[axis] + a[axis + 2]) / 2 - (b[axis] + b[axis + 2]) / 2)
        sizes.append(abs(a[axis + 2] - a[axis]) + abs(b[axis + 2] - b[axis]))
    beyond = [max(abs(d) - margin * size, 0.0) * (1 if d > 0 else -1) for d, size in zip(offsets, sizes, strict=True)]
    if all(abs(r) < NEGLIGIBLE for r in beyond):
        return []
    distance = sqrt(offsets[0] ** 2 + offsets[1] ** 2)
    x, y = (r / distance for r in beyond)
    holds = {LEFT: x < -ALONG, RIGHT: x > ALONG, ABOVE: y < -ALONG, BELOW: y > ALONG}
    return [relation for relation, true in holds.items() if true]


def _area(box: Box) -> float:
    return max(box[2] - box[0] + 1, 0) * max(box[3] - box[1] + 1, 0)
