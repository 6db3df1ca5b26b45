"""Shows an image in the terminal while it forms."""

from __future__ import annotations

from typing import Any

from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nanogen_app.states import Listener, RecordedState, decoded, recording
from nanogen_core.pipeline import Pipeline
from nanogen_files.images import to_pil

LINES = 10  # progress lines of one image in a pipe
COLUMNS = 64  # largest width of an image in characters


def watched(pipeline: Pipeline, console: Console | None = None) -> Pipeline:
    """Return a pipeline that shows the first image of each batch while it forms, and generates the same images.

    A terminal shows the image. A pipe or a file gets plain progress lines.
    """
    console = console or Console()
    return recording(pipeline, _picture(pipeline, console) if console.is_terminal else _lines(console))


def _picture(pipeline: Pipeline, console: Console) -> Listener:
    live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def show(state: RecordedState, steps: int) -> None:
        (image,) = to_pil(decoded(pipeline, [state]))
        if state.number == 0:
            live.start()
        live.update(Group(half_blocks(image, console.width, console.height - 3), _progress(state)), refresh=True)
        if state.time == 0:
            live.stop()

    return show


def _lines(console: Console) -> Listener:
    def show(state: RecordedState, steps: int) -> None:
        if state.time == 0 or state.number % max(1, steps // LINES) == 0:
            console.print(_progress(state), soft_wrap=True)

    return show


def _progress(state: RecordedState) -> Text:
    return Text(f"image {state.slot + 1}, state {state.number}, t = {state.time:.3f}")


def half_blocks(image: Image.Image, columns: int, rows: int) -> Text:
    """Draw an image with the character U+2580: two pixels per character, one above the other.

    Args:
        image: Image of any size. It is shrunk to fit, and not enlarged.
        columns: Largest width in characters; values above 64 count as 64.
        rows: Largest height in characters.
    """
    scale = min(1.0, min(columns, COLUMNS) / image.width, 2 * max(1, rows) / image.height)
    width, height = max(1, round(image.width * scale)), 2 * max(1, round(image.height * scale / 2))
    pixels: Any = image.convert("RGB").resize((width, height), Image.Resampling.BOX).load()
    text = Text(no_wrap=True)
    for y in range(0, height, 2):
        for x in range(width):
            upper, lower = ("#{:02x}{:02x}{:02x}".format(*pixels[x, line]) for line in (y, y + 1))
            text.append("▀", f"{upper} on {lower}")
        text.append("\n" if y + 2 < height else "")
    return text
