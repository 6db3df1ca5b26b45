"""Section of samples: contact sheets, reduced in size and embedded."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from itertools import groupby

from PIL import Image, UnidentifiedImageError

from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.page_data import Picture

MAX_SIDE = 800  # pixels of the longer side of an embedded sheet, about twice the width of a column
MAX_TOTAL = 8 * MAX_SIDE**2  # pixels of all sheets together: a few megabytes
MAX_PIXELS = 50_000_000  # pixels of a file; larger files would need gigabytes of memory


def pictures(sheets: Sequence[Picture]) -> list[Content]:
    """Build the samples section: the sheets of each task. The more sheets, the smaller each is shown."""
    side = min(MAX_SIDE, math.isqrt(MAX_TOTAL // len(sheets)))
    parts: list[Content] = []
    for task, found in groupby(sheets, key=lambda sheet: sheet.task):
        parts += [element("h3", task), element("div", [_figure(sheet, side) for sheet in found], class_="grids")]
    return parts


def _figure(sheet: Picture, side: int) -> Markup:
    caption = element("figcaption", element("strong", element("bdi", sheet.name)), f": {sheet.description}")
    return element("figure", _image(sheet, side), caption)


def _image(sheet: Picture, side: int) -> Markup:
    """Return the image, or an error message."""
    try:
        content, (width, height) = _embedded(sheet, side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        return element("p", f"{sheet.file.name} cannot be shown: {reason}.", class_="bad")
    return element(
        "img",
        alt=f"{sheet.name}: {sheet.description}",
        src=f"data:image/png;base64,{base64.b64encode(content).decode()}",
        width=width,
        height=height,
        loading="lazy",
    )


def _embedded(sheet: Picture, side: int) -> tuple[bytes, tuple[int, int]]:
    """Reduce an image to at most `side` pixels in each direction. Returns PNG bytes and size."""
    with Image.open(sheet.file) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"it has {opened.width} x {opened.height} pixels, more than {MAX_PIXELS:,}")
        shown = opened.convert("RGB")
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "PNG", optimize=True)
    return file.getvalue(), shown.size
