"""Sizes of the tensors of a checkpoint, by name."""

from __future__ import annotations

from collections.abc import Mapping

from nanogen_core.errors import DataError

Shapes = Mapping[str, tuple[int, ...]]


def size(shapes: Shapes, name: str, axis: int) -> int:
    """Return the size of one axis of a tensor.

    Raises:
        KeyError: The tensor is missing.
        DataError: The tensor lacks the axis, or is empty along it.
    """
    shape = shapes[name]
    if axis >= len(shape) or not shape[axis]:
        raise DataError(
            f"The tensor {name} of the checkpoint has the shape {list(shape)}. Its axis {axis}, counted from"
            " 0, is missing or empty. Use a published checkpoint."
        )
    return shape[axis]
