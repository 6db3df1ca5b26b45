"""Sizes and colour modes of image files, read from their headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from nanogen_files.reading import opened

MAX_LISTED = 16  # sizes; more sizes are replaced by their number and a hash


def formats(files: Iterable[Path]) -> dict[str, Any]:
    """Return the distinct sizes and modes of image files.

    Files without a readable header are skipped here. Reading their image raises the error.

    Returns:
        `sizes`, such as `["64x48"]` (width x height), and `modes`, such as `["L", "RGB"]`.
    """
    found = {header for file in files if (header := _header(file)) is not None}
    return {"sizes": listed({size for size, _ in found}), "modes": sorted({mode for _, mode in found})}


def listed(sizes: Iterable[tuple[int, int]]) -> Sequence[str] | str:
    """Return sizes (width, height) as a list such as `["64x48"]`. More than 16 give a text with number and hash."""
    words = [f"{width}x{height}" for width, height in sorted(sizes)]
    return (
        words
        if len(words) <= MAX_LISTED
        else f"{len(words)} sizes, {sha256(' '.join(words).encode()).hexdigest()[:16]}"
    )


def _header(file: Path) -> tuple[tuple[int, int], str] | None:
    try:
        with opened(file) as content, Image.open(content) as picture:
            return picture.size, picture.mode
    except Exception:  # Pillow raises many types of errors for damaged headers
        return None
