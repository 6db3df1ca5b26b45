"""Size and mode of image files, from their headers alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from nanogen_files.reading import opened

LISTED = 16  # sizes; more are counted, and named by a hash


def looks(files: Iterable[Path]) -> dict[str, Any]:
    """`sizes` ("width x height") and `modes` ("RGB", "L", "P" ...) of image files, each kind once.

    A file without a readable header is left out: reading its image says what is wrong with it.
    """
    found = {look for file in files if (look := _look(file)) is not None}
    return {"sizes": listed({size for size, _ in found}), "modes": sorted({mode for _, mode in found})}


def listed(sizes: Iterable[tuple[int, int]]) -> Sequence[str] | str:
    """`["64x48"]`, or, of many sizes, how many there are and a hash of them."""
    words = [f"{width}x{height}" for width, height in sorted(sizes)]
    return words if len(words) <= LISTED else f"{len(words)} sizes, {sha256(' '.join(words).encode()).hexdigest()[:16]}"


def _look(file: Path) -> tuple[tuple[int, int], str] | None:
    try:
        with opened(file) as content, Image.open(content) as picture:
            return picture.size, picture.mode
    except Exception:  # whatever a damaged header makes Pillow raise
        return None
