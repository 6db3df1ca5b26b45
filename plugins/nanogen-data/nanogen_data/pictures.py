"""Decode image files to RGB. An image that cannot be decoded raises CorruptSampleError."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_files.reading import read_bytes

#: Suffixes of image files, in lower case. Training and evaluation use the same ones.
SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".jp2", ".png", ".tga", ".tif", ".tiff", ".webp"),
        *(".jpg", ".jpeg", ".jpe", ".jfif"),
        *(".pbm", ".pgm", ".pnm", ".ppm"),
    }
)
#: Folders created by operating systems and archive tools. They are skipped, like hidden folders.
SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
MIN_SIDE = 8  # pixels; smaller images are placeholders
MAX_RATIO = 32  # longer to shorter side; the short side is resized to the model's size
MAX_BYTES = 1 << 30  # of an image file
MAX_PIXELS = 178_956_970  # Pillow's limit for decompression bombs
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def decode_image(data: bytes, name: str) -> Image.Image:
    """Decode the bytes of an image file to RGB, whatever the file's suffix.

    Applies the EXIF orientation, scales 16-bit grey to 8 bits, composites transparency on white, takes the first frame
    of an animation, and converts CMYK, palette and grey images.

    Args:
        data: Content of the file.
        name: Name of the file in error messages.

    Raises:
        CorruptSampleError: The image cannot be decoded, its pixels are floats or outside 0 to 65535, or its width,
            height or aspect ratio is outside the limits.
    """
    if not data:
        raise _corrupt("empty file", name, "it is empty")
    try:
        picture = Image.open(BytesIO(data))
        _refuse_shape(*picture.size, name)
        picture.load()
        return _rgb(_exif_rotated(picture), name)
    except CorruptSampleError:
        raise
    except UnidentifiedImageError as error:  # Pillow's message contains a memory address
        raise _corrupt("unknown format", name, "Pillow does not recognise its format") from error
    except Exception as error:  # Pillow's decoders raise arbitrary errors on corrupt bytes
        raise _corrupt(_reason(error), name, str(error) or type(error).__name__) from error


def read_image(path: Path) -> Image.Image:
    """Read an image file and decode it with `decode_image`. Raises CorruptSampleError if either fails."""
    try:
        data = read_bytes(path, MAX_BYTES)
    except DataError as error:
        raise CorruptSampleError("unreadable file", f"The image {error}") from error
    return decode_image(data, str(path))


def is_image(name: str) -> bool:
    """Return whether a file name has an image suffix and is not hidden."""
    return not is_hidden(name) and suffix(name) in SUFFIXES


def is_hidden(name: str) -> bool:
    """Return whether a name starts with a dot (`.ipynb_checkpoints`) or is that of a system folder (`__MACOSX`)."""
    return name[:1] == "." or name in SYSTEM


def suffix(name: str) -> str:
    """Return the suffix in lower case, such as `".jpg"` for `"a.b.JPG"`; an empty string if there is none."""
    stem, _, end = name.rpartition(".")
    return f".{end.lower()}" if stem and end else ""


def _corrupt(reason: str, name: str, detail: str) -> CorruptSampleError:
    return CorruptSampleError(reason, f"The image {name} cannot be read ({detail}): repair or remove the file.")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    return "cut short" if "truncated" in str(error) else "corrupt image"


def _refuse_shape(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        limit = f"it has {width} x {height} pixels; the limit is {MAX_PIXELS:,} in total"
        raise _corrupt("too many pixels", name, limit)
    if min(width, height) < MIN_SIDE:
        raise _corrupt("too small", name, f"it has {width} x {height} pixels; each side needs at least {MIN_SIDE}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise _corrupt(
            "too long", name, f"it has {width} x {height} pixels; the ratio of its sides is above {MAX_RATIO}"
        )


def _exif_rotated(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # corrupt EXIF data; the pixels are usually intact
        return picture


def _rgb(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode == "F":
        raise _corrupt("float pixels", name, "its pixels are floating-point numbers of unknown range")
    if picture.mode in SIXTEEN_BIT:
        return _to_8_bit(picture, name).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _to_8_bit(picture: Image.Image, name: str) -> Image.Image:
    """Scale 16-bit grey to 8 bits, 65535 to 255. Pillow's own conversion clips."""
    values = np.asarray(picture).astype(np.int64)  # [H, W]
    if values.min() < 0 or values.max() > 65535:
        found = f"{values.min()} to {values.max()}"
        raise _corrupt("deep pixels", name, f"its grey values are outside 0 to 65535 ({found})")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
