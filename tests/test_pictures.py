"""Image files of every kind become the picture that a person sees, or a reason."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nanogen_data.captions import decode_caption
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.pictures import decode_image, read_image, suffix

SIZE = 16


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    data = BytesIO()
    picture.save(data, form, **options)
    return data.getvalue()


def colour(data: bytes) -> tuple[int, int, int]:
    picture = decode_image(data, "x")
    assert picture.mode == "RGB"
    return picture.getpixel((picture.width // 2, picture.height // 2))  # type: ignore[return-value]


def deep(value: int) -> Image.Image:
    return Image.fromarray(np.full((SIZE, SIZE), value, np.uint16))


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing, written by hand."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    chunks = [
        struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def animation() -> bytes:
    frames = [Image.new("RGB", (SIZE, SIZE), name) for name in ("red", "blue", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def palette() -> Image.Image:
    picture = Image.new("P", (SIZE, SIZE), 3)
    picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2, 10, 200, 30])
    return picture


FIFTH = Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, 51))  # 51 is a fifth of 255
KINDS: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "grey": (saved(Image.new("L", (SIZE, SIZE), 77), "PNG"), (77, 77, 77)),
    "two colours": (saved(Image.new("1", (SIZE, SIZE), 1), "PNG"), (255, 255, 255)),
    "palette": (saved(palette(), "PNG"), (10, 200, 30)),
    "transparent palette": (saved(palette(), "PNG", transparency=3), (255, 255, 255)),
    "CMYK": (saved(Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "16 bit": (saved(deep(128 * 257), "PNG"), (128, 128, 128)),
    "16 bit, full": (saved(deep(65535), "PNG"), (255, 255, 255)),
    "16 bit, TIFF": (saved(deep(3 * 257), "TIFF"), (3, 3, 3)),
    "grey with alpha": (saved(Image.new("LA", (SIZE, SIZE), (0, 0)), "PNG"), (255, 255, 255)),
    "alpha": (saved(FIFTH, "PNG"), (255, 204, 204)),  # 255 * 0.8 + 0 * 0.2
    "opaque alpha": (saved(Image.new("RGBA", (SIZE, SIZE), (9, 8, 7, 255)), "PNG"), (9, 8, 7)),
    "animation": (animation(), (255, 0, 0)),
    "WebP": (saved(Image.new("RGB", (SIZE, SIZE), (1, 2, 3)), "WEBP", lossless=True), (1, 2, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode_becomes_the_colour_that_is_seen(kind: str) -> None:
    data, expected = KINDS[kind]
    assert colour(data) == expected


@pytest.mark.parametrize(
    ("orientation", "red"),
    # where the red top of the stored picture is seen: EXIF 2.32, table 4.6.4-A
    [(1, "top"), (2, "top"), (3, "bottom"), (4, "bottom"), (5, "left"), (6, "right"), (7, "right"), (8, "left")],
)
def test_pictures_are_turned_as_their_exif_data_say(orientation: int, red: str) -> None:
    picture = Image.new("RGB", (SIZE, 2 * SIZE), "blue")
    picture.paste("red", (0, 0, SIZE, SIZE))
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = np.asarray(decode_image(saved(picture, "PNG", exif=exif), "x"))[..., 0] > 128
    sides = {"top": seen[0], "bottom": seen[-1], "left": seen[:, 0], "right": seen[:, -1]}
    assert {side for side, row in sides.items() if row.all()} == {red}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_data_do_not_cost_the_picture() -> None:
    data = saved(
        Image.new("RGB", (SIZE, SIZE), "white"), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff" + b"\x01" * 20
    )
    assert colour(data) == (255, 255, 255)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
BROKEN = {
    "empty file": b"",
    "unknown format": b"GIF? no, a text",
    "cut short": saved(Image.fromarray(NOISE), "JPEG")[:-900],
    "too many pixels": png(40_000, 40_000),
    "too small": png(4, 400),
    "too long": png(10, 400),
    "corrupt image": saved(Image.fromarray(NOISE), "PNG")[:60] + b"\xff" * 9000,
    "float pixels": saved(Image.fromarray(np.ones((SIZE, SIZE), np.float32)), "TIFF"),
    "deep pixels": saved(Image.fromarray(np.full((SIZE, SIZE), 1 << 20, np.int32)), "TIFF"),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_is_no_picture_says_why_and_what_it_is_called(reason: str) -> None:
    with pytest.raises(
        CorruptSampleError, match=r"^The image a/b\.jpg cannot be read \(.+\): repair or remove the file"
    ) as found:
        decode_image(BROKEN[reason], "a/b.jpg")
    assert found.value.reason == reason


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_no_damaged_byte_ends_in_another_exception() -> None:
    generator = np.random.default_rng(1)
    for form in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        whole = saved(Image.fromarray(NOISE), form)
        for _ in range(60):
            data = np.frombuffer(whole, np.uint8).copy()
            data[generator.integers(0, len(data), 8)] = generator.integers(0, 256, 8)
            with suppress(CorruptSampleError):
                assert decode_image(data[: generator.integers(1, len(data) + 1)].tobytes(), "x").mode == "RGB"


def test_a_file_that_cannot_be_opened_is_bad_too(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "gone")
    (tmp_path / "folder.png").mkdir()
    for name in ("link.png", "folder.png"):
        with pytest.raises(CorruptSampleError, match=name) as found:
            read_image(tmp_path / name)
        assert found.value.reason == "unreadable file"


def test_captions() -> None:
    assert decode_caption("\ufeff  ein Bär\n".encode(), "x") == "ein Bär"
    for data, reason in [(b"", "empty caption"), (b" \n\t", "empty caption"), (b"caf\xe9", "caption not UTF-8")]:
        with pytest.raises(CorruptSampleError) as found:
            decode_caption(data, "x")
        assert found.value.reason == reason


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.b.JPG", ".jpg"), ("name", ""), ("name.", ""), ("a.b.", ""), (".jpg", ""), (".", ""), ("", "")],
)
def test_the_suffix_of_a_name(name: str, expected: str) -> None:
    assert suffix(name) == expected
