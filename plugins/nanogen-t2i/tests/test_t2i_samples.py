"""Tars as other programs write them: names with dots, captions under other keys, several captions, odd headers."""

from __future__ import annotations

import json
import logging
import random
import tarfile
from io import BytesIO, FileIO
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import pytest
import webdataset
from braceexpand import braceexpand
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_data import notes
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import loader
from nanogen_data.stored_files import LocalFile
from nanogen_t2i.braces import MAX_NAMES, expand
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.crop import ResizeAndCrop
from nanogen_t2i.dataset import TarExamples, WebDataset
from nanogen_t2i.tars import CUT, index_tar
from nanogen_t2i.task import T2I


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    notes._logged.clear()


def shaded(shade: int, kind: str = "PNG") -> bytes:
    data = BytesIO()
    Image.new("RGB", (24, 20), (shade, shade, shade)).save(data, kind)
    return data.getvalue()


def write(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    return path


def opened(root: Path | str, split: str = "train", **options: Any) -> TarExamples:
    return WebDataset(WebDatasetConfig(root=str(root), **options)).open(split, 16, "captions")


# -- names -----------------------------------------------------------------------------------------------------------


def test_names_with_dots_are_split_as_webdataset_does_and_said(tmp_path: Path) -> None:
    members = {f"img_v1.{n}.{kind}": data for n in range(3) for kind, data in (("jpg", shaded(n)), ("txt", b"a ball"))}
    path = write(tmp_path / "0.tar", members)
    (theirs,) = webdataset.WebDataset(str(path), shardshuffle=False)  # one sample, whose keys are "0.jpg" and so on
    assert {"0.jpg", "2.txt"} <= theirs.keys()
    with pytest.raises(CorruptSampleError) as found:
        opened(tmp_path)[0]
    assert str(found.value).startswith(
        f"A sample of {path} has no image. Its files are: img_v1.0.jpg, img_v1.0.txt, img_v1.1.jpg"
    )
    assert "As in webdataset, names are split at the first dot after the folder: img_v1.0.jpg is " in str(found.value)
    assert "the file '0.jpg' of the sample 'img_v1'." in str(found.value)
    assert "byte -1" not in str(found.value)


def test_dots_in_folders_are_no_part_of_a_name(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", {"./v1.0/a.png": shaded(7), "./v1.0/a.txt": b"seven"})
    assert opened(tmp_path)[0].caption == "seven"


def test_keys_of_several_images_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", {"a.jpg": shaded(1, "JPEG"), "a.png": shaded(2), "a.txt": b"one"})
    with pytest.raises(DataError, match=r"several images in one sample, a\.jpg and a\.png. Set `dataset\.image`"):
        opened(tmp_path)
    assert opened(tmp_path, image="png")[0].image.getpixel((0, 0))[0] == 2  # type: ignore[union-attr, index]
    assert opened(tmp_path, image="jpg")[0].image.getpixel((0, 0))[0] == 1  # type: ignore[union-attr, index]


@pytest.mark.parametrize("kind", ["bmp", "tif", "gif", "jfif", "avif"])
def test_images_of_every_suffix_are_found(tmp_path: Path, kind: str) -> None:
    data = shaded(9, {"bmp": "BMP", "tif": "TIFF", "gif": "GIF", "jfif": "JPEG", "avif": "AVIF"}[kind])
    write(tmp_path / "0.tar", {f"a.{kind}": data, "a.txt": b"nine"})
    assert abs(opened(tmp_path)[0].image.getpixel((0, 0))[0] - 9) <= 2  # type: ignore[union-attr, index]


# -- captions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "name", "data", "caption"),
    [
        ("txt", "a.TXT", "\ufeffcafé ☕️\r\n".encode(), "café ☕️"),
        ("txt", "a.txt", "café".encode("utf-16"), "café"),
        ("txt", "a.txt", "one\u2028line\x0chere".encode(), "one\u2028line\x0chere"),
        ("caption", "a.caption", b"under another key", "under another key"),
        ("seg.txt", "a.seg.txt", b"after a dot", "after a dot"),
        ("json:caption", "a.json", b'{"caption": "in a field", "width": 64}', "in a field"),
        ("json:prompts", "a.json", b'{"prompts": ["one", "two"]}', ("one", "two")),
        ("meta.json:text", "a.meta.json", b'{"text": ["alone"]}', "alone"),
    ],
)
def test_captions_are_found_under_their_key(tmp_path: Path, key: str, name: str, data: bytes, caption: Any) -> None:
    write(tmp_path / "0.tar", {"a.png": shaded(1), name: data})
    examples = opened(tmp_path, caption=key)
    assert examples[0].caption == examples.caption(0) == caption


@pytest.mark.parametrize(
    ("key", "name", "data", "sentence"),
    [
        ("txt", "a.json", b"{}", "has no caption. Its files are: a.png, a.json. .*Set it to `json:FIELD`"),
        ("txt", "a.text", b"x", "has no caption. Its files are: a.png, a.text. .* is 'txt'. Set it to the key"),
        ("txt", "a.txt", "café".encode("latin-1"), "The caption .* is not UTF-8 in line 1"),
        ("json:prompt", "a.json", b'{"caption": "x", "width": 1}', "no field 'prompt'. It has: caption, width"),
        ("json:prompt", "a.json", b"[1, 2]", r"no field 'prompt'. It has: \[1, 2\]"),
        ("json:prompt", "a.json", b'{"prompt": ', "The file .* is not valid JSON"),
        ("json:prompt", "a.json", b"[" * 100_000, "nested too deeply"),
        (
            "json:prompt",
            "a.json",
            b'{"prompt": 7}',
            "The caption .* is 7; a caption must be a string or a list of strings",
        ),
        ("json:prompt", "a.json", b'{"prompt": ["x", 7]}', r"is \['x', 7\]; a caption must be a string"),
        ("json:prompt", "a.json", b'{"prompt": null}', "has no caption"),
        ("json:prompt", "a.json", b'{"prompt": " "}', "is empty"),
    ],
)
def test_what_is_no_caption_is_a_bad_example(tmp_path: Path, key: str, name: str, data: bytes, sentence: str) -> None:
    write(tmp_path / "0.tar", {"a.png": shaded(1), name: data})
    with pytest.raises(CorruptSampleError, match=sentence):
        opened(tmp_path, caption=key)[0]


def test_a_json_file_without_a_field_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", {"a.png": shaded(1), "a.json": b"{}"})
    with pytest.raises(DataError, match="Set it to one of them as `json:FIELD`"):
        opened(tmp_path, caption="json")


def test_lines_are_one_caption_which_is_said_or_one_each_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(
        tmp_path / "0.tar",
        {"a.png": shaded(1), "a.txt": b"a ball\r\na round thing\n\n", "b.png": shaded(2), "b.txt": b"b"},
    )
    with caplog.at_level(logging.WARNING):
        assert [opened(tmp_path)[index].caption for index in range(2)] == ["a ball\na round thing", "b"]
        write(tmp_path / "1.tar", {"a.png": shaded(1), "a.txt": b"three\nlines\nhere"})
        _ = opened(tmp_path)[2]
    assert caplog.text.count("lines, which are read as one caption") == 1  # once, whatever the caption
    assert "Set `dataset.caption_lines: true`" in caplog.text
    examples = opened(tmp_path / "0.tar", caption_lines=True)
    assert [examples[index].caption for index in range(2)] == [("a ball", "a round thing"), "b"]
    batches = islice(loader(examples, 2, transform=ResizeAndCrop(16)), 30)
    assert {text for batch in batches for text in batch.captions or ()} == {"a ball", "a round thing", "b"}


def test_questions_are_single_captions(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path / split / "0.tar", {"a.png": shaded(1), "a.txt": b"one\ntwo"})
    dataset = WebDataset(WebDatasetConfig(root=str(tmp_path), caption_lines=True))
    task = T2I(image_size=16, dataset=dataset)
    (asked,) = set(task.eval_batch(3).captions or ())
    assert asked in {"one", "two"}
    (batch,) = task.iter_once("val", 2)
    assert batch.captions == [asked]  # the same one


# -- patterns --------------------------------------------------------------------------------------------------------


def test_what_exists_is_taken_as_typed(tmp_path: Path) -> None:
    members = {"a.png": shaded(1), "a.txt": b"one"}
    for name in ("run [1]", "{a,b}", "what?*", "x::y", "#5", "no"):
        write(tmp_path / name / "0.tar", members)
        write(tmp_path / name / "1.tar", members)
        assert len(opened(tmp_path / name)) == 2
        assert len(opened(tmp_path / name / "*.tar")) == 2
        assert len(opened(tmp_path / name / "{0..1}.tar")) == 2
        assert len(opened(tmp_path / name / "1.tar")) == 1
        assert WebDataset.recognises(str(tmp_path / name))
    write(tmp_path / "odd" / "[0].tar", members)
    write(tmp_path / "odd" / "0.tar", members)
    assert opened(tmp_path / "odd" / "[0].tar").files() == [tmp_path / "odd" / "[0].tar"]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("{00000..99999999999}.tar", "expands to more than 1,000,000 names"),
        ("{a,b}" * 60 + ".tar", "expands to more than 1,000,000 names"),
        ("{a,b}" * 16 + ".tar", f"There is no file .*{'a' * 16}"),
        ("{0..2.tar", "opens a brace that it does not close"),
        ("0..2}.tar", "closes a brace that it does not open"),
        ("{" * 50 + "}" * 50, "more than 20 nested braces"),
        ("{1.." + "9" * 5_000 + "}.tar", "There is no file"),
        ("{0,0}.tar", "names .*0.tar twice, so its samples would count twice"),
        ("{0,*}.tar", "names .*0.tar twice"),
        ("[9].tar", "There is no file"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused_at_once(tmp_path: Path, pattern: str, sentence: str) -> None:
    write(tmp_path / "0.tar", {"a.png": shaded(1), "a.txt": b"one"})
    with pytest.raises(DataError, match=sentence):
        opened(f"{tmp_path}/{pattern}")


def test_braces_are_expanded_as_the_library_of_webdataset_does() -> None:
    written = [
        "{00000..00012}.tar",
        "{8..12}",
        "{008..12}",
        "{5..-5..3}",
        "{-05..5}",
        "{a..g..2}x{A..C}",
        "{a,b{1..3},}-{x,y}",
        "{single}",
        "{}",
        "a{b,c{d,e{f,g}}}h",
        "{1..3..0}",
        "plain",
        "{a,,b}",
        "{c..a}",
    ]
    for pattern in written:
        assert list(expand(pattern)) == list(braceexpand(pattern, escape=False)), pattern
    chance = random.Random(0)
    for _ in range(2_000):
        pattern = "".join(chance.choice(["{", "}", ",", "1..3", "01..2", "a", "b..d", "x"]) for _ in range(9))
        depths = list(accumulate({"{": 1, "}": -1}.get(letter, 0) for letter in pattern))
        if min(depths) < 0 or depths[-1]:
            with pytest.raises(DataError, match="that it does not"):
                expand(pattern)
        else:
            assert list(expand(pattern)) == list(braceexpand(pattern, escape=False)), pattern


def test_the_number_of_names_is_known_before_the_first() -> None:
    assert len(list(expand("{1..1000}{1..1000}"))) == MAX_NAMES
    with pytest.raises(DataError, match="expands to more than"):
        expand("{1..1000}{0..1000}")


def test_what_else_lies_in_a_folder_of_tars_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "0.tar", {"a.png": shaded(1), "a.txt": b"one"})
    write(tmp_path / "more" / "1.tar", {"a.png": shaded(1), "a.txt": b"one"})
    for name in ("2.tar.gz", "._0.tar", "sizes.json"):
        (tmp_path / name).write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert len(opened(tmp_path)) == 1
    counted = "4 entries that are not .tar files (1 .gz, 1 .json, 1 folder, 1 hidden)"
    assert f"Ignored in {tmp_path}: {counted}" in caplog.text


# -- headers ---------------------------------------------------------------------------------------------------------


def sparse() -> bytes:
    """A header of a GNU sparse file, as `tar --sparse` writes it."""
    header = tarfile.TarInfo("a.png")
    header.size, header.type = 512, tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = b"%011o\0" % 0  # where the first piece begins
    block[398:410] = b"%011o\0" % 512  # and its size
    block[483:495] = b"%011o\0" % (1 << 30)  # the size of the whole
    return bytes(resummed(block)) + bytes(512 * 3)


def resummed(block: bytearray) -> bytearray:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return block


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(sparse())
    with pytest.raises(DataError, match=r"0\.tar contains a\.png as a sparse file. Write the tar without `--sparse`"):
        index_tar(LocalFile(tmp_path / "0.tar"))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header with a size that ordinary writers refuse."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (size % (1 << 96)).to_bytes(12, "big")  # in base 256, as GNU tar writes large ones
    block[124] = 0xFF if size < 0 else 0x80
    return bytes(resummed(block))


@pytest.mark.parametrize("size", [10**12, 2**62, -512, -1024, -1, -(2**40)])
@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.DIRTYPE]
)
def test_sizes_that_lie_end_the_tar_at_once(tmp_path: Path, size: int, kind: bytes) -> None:
    good = write(tmp_path / "good.tar", {"a.png": shaded(1), "a.txt": b"one"}).read_bytes()[: 512 * 4]
    path = tmp_path / "0.tar"
    path.write_bytes(good + header("b.png", size, kind) + bytes(2048))
    sizes: list[int] = []

    class Reader(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size or 0)
            return super().read(size)

    class Watched(LocalFile):
        def read(self, offset: int, size: int) -> bytes:
            sizes.append(size)
            return super().read(offset, size)

        def opened(self) -> Reader:
            return Reader(self.path)

    rows = index_tar(Watched(path))
    assert 0 < len(sizes) < 20  # it ends at the header
    assert max(sizes) <= path.stat().st_size  # not what the header claims
    assert len(rows) >= 1
    assert rows[0, 0] == 512
    if kind == tarfile.REGTYPE:
        assert rows[-1, 0] == CUT


def test_a_tar_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "0.tar", {"a.png": shaded(1), "a.txt": b"one"})

    def refused(name: Any, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(DataError, match=r"0\.tar cannot be read: permission denied for this user"):
        index_tar(LocalFile(path))


def test_a_json_that_is_no_caption_file_costs_nothing(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", {"a.png": shaded(1), "a.txt": b"one", "a.json": json.dumps({"a": "b"}).encode()})
    assert opened(tmp_path)[0].caption == "one"
