"""A thousand damaged and odd files of eighteen kinds: every one is accounted for, and no good one is lost."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from precomputed_data import config, resolved

from nanogen_core.config import resolve
from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.precomputed import manifest
from nanogen_data.precomputed.latents import Latents
from nanogen_data.precomputed.prepare import Options, prepare

SIDE = 8
TIMES = int(os.environ.get("NANOGEN_TORTURE", "1"))  # as many files: `make torture`
RED, WHITE = (255, 0, 0), (255, 255, 255)
Colour = tuple[int, int, int]
Made = tuple[bytes, "Colour | str"]  # a file, and the colour that it shows or the reason why it shows none


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    data = BytesIO()
    picture.save(data, form, **options)
    return data.getvalue()


def plain(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (SIDE, SIDE), value)


def shade(number: int) -> Colour:
    return (number % 251, number * 7 % 251, number * 13 % 251)


def turned(number: int) -> Made:
    """Red above black, marked as lying on its side: seen upright, the red is on the right."""
    picture = Image.new("RGB", (SIDE, SIDE))
    picture.paste(RED, (0, 0, SIDE, SIDE // 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(picture, "PNG", exif=exif), RED


def animation(number: int) -> Made:
    frames = [plain("RGB", RED), plain("RGB", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), RED


def cut(number: int) -> Made:
    noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
    return saved(Image.fromarray(noise), "JPEG")[: -200 - number % 300], "cut short"


def indexed(number: int) -> Made:
    picture = plain("P", 1)
    picture.putpalette([0, 0, 0, *shade(number)])
    return saved(picture, "PNG"), shade(number)


def deep(number: int) -> Made:
    grey = number % 256
    return saved(Image.fromarray(np.full((SIDE, SIDE), grey * 257, np.uint16)), "PNG"), (grey,) * 3


IMAGES: dict[str, Callable[[int], Made]] = {
    "good": lambda n: (saved(plain("RGB", shade(n)), "PNG"), shade(n)),
    "empty": lambda n: (b"", "empty file"),
    "a text": lambda n: (b"<html>404 not found</html>", "unknown format"),
    "cut": cut,
    "tiny": lambda n: (saved(Image.new("RGB", (1 + n % 7, 9)), "PNG"), "too small"),
    "thin": lambda n: (saved(Image.new("RGB", (8, 300 + n % 9)), "PNG"), "too long"),
    "float": lambda n: (saved(Image.fromarray(np.ones((SIDE, SIDE), np.float32)), "TIFF"), "float pixels"),
    "CMYK": lambda n: (saved(plain("CMYK", (0, 255, 255, 0)), "TIFF"), RED),
    "palette": indexed,
    "16 bit": deep,
    "transparent": lambda n: (saved(plain("RGBA", (*shade(n), 0)), "PNG"), WHITE),
    "turned": turned,
    "animated": animation,
}
ENDINGS = (".png", ".JPEG", ".webp")  # none of which says what a file holds


def config_of(task: str, root: Path) -> dict[str, Any]:
    name = {"imagenet": "imagenet-folder", "t2i": "webdataset"}[task]
    dataset = {"name": name, "root": str(root), "max_corrupt": 0.9}
    return config(task, root, image_size=SIDE, tokenizer="pixel", dataset=dataset)


def seen(image: torch.Tensor) -> Colour:
    """The colour at the right edge of an image [3, S, S] in [-1, 1]."""
    return tuple(((image[:, SIDE // 2, -1] + 1) * 127.5).round().int().tolist())  # type: ignore[return-value]


def prepared(task: str, root: Path, folder: Path) -> tuple[manifest.Manifest, Latents]:
    found = prepare(resolve(config_of(task, root)), folder, Options(shard_size=64, batch_size=16))
    return found, Latents(folder, found)


def check(examples: Latents, expected: list[Colour | str]) -> None:
    assert len(examples) == len(expected)
    for index, what in enumerate(expected):
        if isinstance(what, str):
            with pytest.raises(CorruptSampleError) as found:
                examples[index]
            assert found.value.reason == what, index
        else:
            assert examples[index].latents is not None
            assert seen(examples[index].latents[0]) == pytest.approx(what, abs=1), index  # type: ignore[index]


def test_seven_hundred_files_in_class_folders(tmp_path: Path) -> None:
    makers = list(IMAGES.values())
    (tmp_path / "data/train/a").mkdir(parents=True)
    expected: list[Colour | str] = []
    for number in range(700 * TIMES):
        data, what = makers[number % len(makers)](number)
        (tmp_path / f"data/train/a/{number:05d}{ENDINGS[number % 3]}").write_bytes(data)
        expected.append(what)
    found, examples = prepared("imagenet", tmp_path / "data", tmp_path / "latents")
    check(examples, expected)
    assert found.skipped == dict(Counter(what for what in expected if isinstance(what, str)))
    bad = [number for number, what in enumerate(expected) if isinstance(what, str)]
    assert len(found.first) == 10
    for number, sentence in zip(bad, found.first, strict=False):
        assert f"{number:05d}{ENDINGS[number % 3]} cannot be read" in sentence


def test_three_hundred_samples_in_tars_that_break_off(tmp_path: Path) -> None:
    captions: list[tuple[bytes | None, str | None]] = [
        (b"a red dog", None),
        (b"", "empty caption"),
        (b" \n ", "empty caption"),
        (b"caf\xe9", "caption not UTF-8"),
        (None, "no caption"),
    ]
    expected: list[Colour | str] = []
    (tmp_path / "tars").mkdir()
    for part in range(20 * TIMES):
        samples = []
        for number in range(15 * part, 15 * part + 15):
            caption, reason = captions[number % 5]
            image, what = IMAGES["good"](number) if number % 15 != 5 else (None, "no image")
            samples.append((f"{number:05d}", image, caption))
            expected.append(reason if reason and image else what)
        expected[-1] = "tar cut short"
        write_tar(tmp_path / f"tars/{part:04d}.tar", samples, lost=700 + part % 20)
    found, examples = prepared("t2i", tmp_path / "tars", tmp_path / "latents")
    check(examples, expected)
    assert sum(found.skipped.values()) == sum(isinstance(what, str) for what in expected)
    assert found.skipped == dict(Counter(what for what in expected if isinstance(what, str)))
    assert all(examples[number].caption == "a red dog" for number, what in enumerate(expected) if what == shade(number))


def write_tar(path: Path, samples: list[tuple[str, bytes | None, bytes | None]], *, lost: int) -> None:
    """A tar whose end is missing: the last caption's header, or a part of the image before it."""
    with tarfile.open(path, "w") as tar:
        for name, image, caption in samples:
            for ending, data in ((".png", image), (".txt", caption)):
                if data is not None:
                    member = tarfile.TarInfo(name + ending)
                    member.size = len(data)
                    tar.addfile(member, BytesIO(data))
        end = tar.offset
    path.write_bytes(path.read_bytes()[: end - lost])


def test_more_than_the_share_stops_after_the_first_shards(tmp_path: Path) -> None:
    (tmp_path / "data/train/a").mkdir(parents=True)
    for number in range(300):
        data = b"" if number >= 200 else IMAGES["good"](number)[0]
        (tmp_path / f"data/train/a/{number:04d}.png").write_bytes(data)
    with pytest.raises(DataError, match=r"4 of 300 \(4 empty file\); the limit is 1\.00%\. .*0200\.png"):
        prepare(
            resolved("imagenet", tmp_path / "data", image_size=SIDE, tokenizer="pixel"),
            tmp_path / "latents",
            Options(shard_size=4),
        )
    assert len(list((tmp_path / "latents").glob("*.tar"))) == 51  # 200 good ones, and the shard of the four
