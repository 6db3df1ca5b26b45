"""Sheets of samples, small enough for a page that one sends, embedded in it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from itertools import groupby

from PIL import Image, UnidentifiedImageError

from nanogen_bench.report.markup import Content, Markup, element
from nanogen_bench.report.subject import Picture

WIDEST = 800  # pixels of an embedded sheet's longer side, about twice what a column of the page shows
TOGETHER = 8 * WIDEST**2  # pixels of all sheets: a few megabytes, so that the page can still be sent
MOST_PIXELS = 50_000_000  # of a file: what is larger would take gigabytes to open


def pictures(sheets: Sequence[Picture]) -> list[Content]:
    """The section's content: under a heading for each task, in the order given, the smaller the more there are."""
    side = min(WIDEST, math.isqrt(TOGETHER // len(sheets)))
    parts: list[Content] = []
    for task, found in groupby(sheets, key=lambda sheet: sheet.task):
        parts += [element("h3", task), element("div", [_figure(sheet, side) for sheet in found], class_="grids")]
    return parts


def _figure(sheet: Picture, side: int) -> Markup:
    caption = element("figcaption", element("strong", element("bdi", sheet.name)), f": {sheet.description}")
    return element("figure", _image(sheet, side), caption)


def _image(sheet: Picture, side: int) -> Markup:
    """The picture, or the sentence that says why there is none."""
    try:
        content, (width, height) = _embedded(sheet, side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = "it is no picture" if isinstance(error, UnidentifiedImageError) else str(error)
        return element("p", f"{sheet.file.name} cannot be shown: {why}.", class_="bad")
    return element(
        "img",
        alt=f"{sheet.name}: {sheet.description}",
        src=f"data:image/png;base64,{base64.b64encode(content).decode()}",
        width=width,
        height=height,
        loading="lazy",
    )


def _embedded(sheet: Picture, side: int) -> tuple[bytes, tuple[int, int]]:
    """PNG bytes of at most `side` pixels either way, and the picture's size."""
    with Image.open(sheet.file) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"it has {opened.width} x {opened.height} pixels")
        shown = opened.convert("RGB")
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "PNG", optimize=True)
    return file.getvalue(), shown.size
