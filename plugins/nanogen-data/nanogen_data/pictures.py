"""From the bytes of an image file to an RGB picture as a person would see it, or the reason why there is none."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_files.reading import read_bytes

#: Of files that are images, for training and for judging alike, in lower case.
SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".jp2", ".png", ".tga", ".tif", ".tiff", ".webp"),
        *(".jpg", ".jpeg", ".jpe", ".jfif"),
        *(".pbm", ".pgm", ".pnm", ".ppm"),
    }
)
#: Folders that systems and unpackers leave among the data; those whose names begin with a dot are passed over too.
SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
MIN_SIDE = 8  # pixels; smaller ones are markers and placeholders, not pictures
MAX_RATIO = 32  # of the sides; the short one is brought to the model's size, and the long one must fit memory
MOST_BYTES = 1 << 30  # of an image's file
MAX_PIXELS = 178_956_970  # what Pillow calls a decompression bomb
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def decode_image(data: bytes, name: str) -> Image.Image:
    """The RGB picture in the bytes of an image file of any format that Pillow knows, whatever the file is called.

    It is turned as its EXIF orientation says; 16-bit greys are scaled to 8 bits; what is transparent shows white; of an
    animation it is the first frame; CMYK, palettes and greys become RGB. Raises BadExample with the file's `name`.
    """
    if not data:
        raise _bad("empty file", name, "it is empty")
    try:
        picture = Image.open(BytesIO(data))
        _refuse_shape(*picture.size, name)
        picture.load()
        return _rgb(_upright(picture), name)
    except CorruptSampleError:
        raise
    except UnidentifiedImageError as error:  # whose own words hold an address in memory
        raise _bad("no image", name, "its bytes are of no format that Pillow knows") from error
    except Exception as error:  # damaged bytes make Pillow's decoders raise whatever their code runs into
        raise _bad(_reason(error), name, str(error) or type(error).__name__) from error


def read_image(path: Path) -> Image.Image:
    """The RGB picture in an image file, see `decode_image`. Raises BadExample."""
    try:
        data = read_bytes(path, MOST_BYTES)
    except DataError as error:
        raise CorruptSampleError("unreadable file", f"The image {error}") from error
    return decode_image(data, str(path))


def is_image(name: str) -> bool:
    """Whether a file is an image by its suffix, and not a hidden one."""
    return not is_hidden(name) and suffix(name) in SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or left by a system (`.ipynb_checkpoints`, `__MACOSX`)."""
    return name[:1] == "." or name in SYSTEM


def suffix(name: str) -> str:
    """`".jpg"` of `"a.b.JPG"`; the empty string where there is none."""
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and stem else ""


def _bad(reason: str, name: str, why: str) -> CorruptSampleError:
    return CorruptSampleError(reason, f"The image {name} cannot be read ({why}): repair the file or take it away.")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    return "cut short" if "truncated" in str(error) else "damaged image"


def _refuse_shape(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise _bad("too many pixels", name, f"it would have {width} x {height} pixels")
    if min(width, height) < MIN_SIDE:
        raise _bad("too small", name, f"it has {width} x {height} pixels, and either side needs {MIN_SIDE}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise _bad("too long", name, f"with {width} x {height} pixels, one side is more than {MAX_RATIO} of the other")


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF data are damaged more often than the pixels beside them, which are good without
        return picture


def _rgb(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode == "F":
        raise _bad("float pixels", name, "its pixels are floating-point numbers of no known range")
    if picture.mode in DEEP:
        return _shallow(picture, name).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _shallow(picture: Image.Image, name: str) -> Image.Image:
    """16-bit greys as 8-bit ones: 65535 is 255. Pillow's own conversion clips instead."""
    values = np.asarray(picture).astype(np.int64)  # [H, W]
    if values.min() < 0 or values.max() > 65535:
        raise _bad("deep pixels", name, f"its greys reach from {values.min()} to {values.max()}, beyond 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
