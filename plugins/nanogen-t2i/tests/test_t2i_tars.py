"""Webdataset tars, written by webdataset's own writer and read back by number."""

from __future__ import annotations

import io
import logging
import os
import tarfile
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import loader
from nanogen_data.stored_files import LocalFile
from nanogen_t2i import cache
from nanogen_t2i.config import WebDatasetConfig
from nanogen_t2i.crop import ResizeAndCrop
from nanogen_t2i.dataset import WebDataset
from nanogen_t2i.tars import CUT, index_tar, read_spans, row_of
from nanogen_t2i.task import T2I


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def shaded(shade: int) -> bytes:
    data = BytesIO()
    Image.new("RGB", (24, 20), (shade, shade, shade)).save(data, "PNG")
    return data.getvalue()


def write(path: Path, numbers: range) -> Path:
    """Samples whose shade and caption are their number, as webdataset writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as tar:
        for number in numbers:
            tar.write({"__key__": f"{number:05d}", "png": shaded(number), "txt": f"number {number}", "json": b"{}"})
    return path


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "data/train/00000.tar", range(5))
    write(tmp_path / "data/train/00001.tar", range(5, 8))
    write(tmp_path / "data/val/00000.tar", range(100, 103))
    return tmp_path / "data"


def dataset(root: Path | str, **options: Any) -> WebDataset:
    return WebDataset(WebDatasetConfig(root=str(root), **options))


def test_samples_are_those_that_webdataset_reads(root: Path) -> None:
    reference = webdataset.WebDataset(str(root / "train/{00000..00001}.tar"), shardshuffle=False).decode("pil")
    examples = dataset(root).open("train", 16, "captions")
    theirs = list(reference)
    assert len(examples) == len(theirs) == 8
    for index, sample in enumerate(theirs):
        assert examples[index].caption == sample["txt"] == f"number {index}"
        assert np.array_equal(np.asarray(examples[index].image), np.asarray(sample["png"].convert("RGB")))


def test_folder_glob_and_braces_name_the_same_tars(root: Path) -> None:
    for pattern in (root, root / "train", root / "train" / "*.tar", root / "train" / "{00000..00001}.tar"):
        assert len(dataset(pattern).open("train", 16, "captions")) == 8


def test_held_out_tars_are_a_folder_or_a_setting(root: Path) -> None:
    named = dataset(root, validation=str(root / "train/00001.tar*"))
    first = [data.open("val", 16, "captions").caption(0) for data in (dataset(root), named)]
    assert first == ["number 100", "number 5"]


def test_names_follow_webdataset_up_to_the_first_dot(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as tar:
        for name in ["a/b.JPG", "a/b.txt", "a/b.seg.png", "c.webp", "c.txt", "._c.txt", "no_extension"]:
            add(tar, name, name.encode())
    rows = index_tar(LocalFile(path))
    assert [read_spans(LocalFile(path), [row_of(row).image])[0] for row in rows] == [b"a/b.JPG", b"c.webp"]
    assert [read_spans(LocalFile(path), [row_of(row).captions[0]])[0] for row in rows] == [b"a/b.txt", b"c.txt"]


def test_samples_without_a_part_are_skipped_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "some.tar"
    with tarfile.open(path, "w") as tar:
        for name in ["1.png", "2.png", "2.txt", "3.txt"]:
            add(tar, name, shaded(2) if name.endswith("png") else b"two")
    task = T2I(image_size=16, dataset=dataset(str(tmp_path / "*.tar"), max_corrupt=0.7))
    with caplog.at_level(logging.WARNING):
        (batch,) = task.iter_once("train", 4)
    assert batch.captions == ["two", "two", "two"]
    assert batch.indices.tolist() == [1, 1, 1]  # the next good one stands in, around the end
    assert "example 0 (no caption)" in caplog.text
    assert "example 2 (no image)" in caplog.text
    with pytest.raises(DataError, match=r"2 of 3 \(1 no caption, 1 no image\); the limit is 1\.00%"):
        list(T2I(image_size=16, dataset=dataset(str(tmp_path / "*.tar"))).iter_once("train", 4))


def test_a_name_twice_in_one_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "twice.tar", "w") as tar:
        add(tar, "1.txt", b"one")
        add(tar, "1.txt", b"another")
    with pytest.raises(DataError, match=r"twice\.tar contains 1\.txt twice"):
        index_tar(LocalFile(tmp_path / "twice.tar"))


def test_a_tar_cut_anywhere_keeps_what_is_whole_and_one_bad_example_that_names_it(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.tar", range(3))
    whole = path.read_bytes()
    ends = [int(max(row[0] + row[1], row[2] + row[3])) for row in index_tar(LocalFile(path))]  # of the samples
    cut = tmp_path / "cut.tar"
    for size in range(1, len(whole.rstrip(b"\0")), 97):  # what comes after is padding and the end mark
        cut.write_bytes(whole[:size])
        rows = index_tar(LocalFile(cut))
        assert np.array_equal(rows[:-1], index_tar(LocalFile(path))[: sum(end <= size for end in ends)]), size
        assert (rows[-1] == CUT).tolist() == [True, False, True, False, False]
    with pytest.raises(CorruptSampleError, match=r"cut\.tar is truncated or damaged"):
        dataset(str(cut) + "*").open("train", 16, "captions")[len(rows) - 1]


def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.tar", range(3))
    data = bytearray(path.read_bytes())
    data[1024 : 1024 + 300] = b"\xff" * 300
    path.write_bytes(data)
    assert index_tar(LocalFile(path))[-1, 0] == CUT


@pytest.mark.parametrize("content", [b"", b"no tar"], ids=["empty", "text"])
def test_what_is_no_tar_is_one_bad_example(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    assert index_tar(LocalFile(tmp_path / "x.tar")).tolist() == [[CUT, 0, CUT, 0, 0]]
    with pytest.raises(
        DataError, match=r"No example can be read from index 0 on \(tried: 1\).* First: .*x\.tar is truncated"
    ):
        list(T2I(image_size=16, dataset=dataset(tmp_path)).iter_once("train", 4))


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    with tarfile.open(tmp_path / "x.tar", f"w:{suffix}") as tar:
        add(tar, "0.png", shaded(1))
        add(tar, "0.txt", b"a caption")
    name = {"gz": "gzip", "bz2": "bzip2", "xz": "xz"}[suffix]
    with pytest.raises(DataError, match=rf"x\.tar is compressed \({name}\), .*. Decompress it first\.$"):
        dataset(tmp_path).open("train", 16, "captions")


def test_nothing_in_a_tar_can_write_or_read_outside_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    with tarfile.open(home / "evil.tar", "w") as tar:
        add(tar, "../../escaped.png", shaded(1))
        add(tar, "../../escaped.txt", b"climbing")
        add(tar, str(tmp_path / "absolute.png"), shaded(2))
        add(tar, str(tmp_path / "absolute.txt"), b"absolute")
        for name, kind in [("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE)]:
            add(tar, f"{name}.png", shaded(3))
            link = tarfile.TarInfo(f"{name}.txt")
            link.type, link.linkname = kind, str(secret)
            tar.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    (batch,) = T2I(image_size=16, dataset=dataset(home, max_corrupt=0.5)).iter_once("train", 8)
    assert batch.captions == ["climbing", "absolute", "climbing", "climbing"]  # links are no captions
    assert [path for path in sorted(tmp_path.rglob("*")) if "cache" not in path.parts] == before


def test_the_index_is_kept_and_made_anew_when_the_tar_changes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(cache, "index_tar", lambda path, *keys: read.append(path) or index_tar(path, *keys))  # type: ignore[func-returns-value]
    for _ in range(2):
        dataset(root).open("train", 16, "captions")
    assert len(read) == 2
    write(root / "train/00001.tar", range(5, 9))
    assert len(dataset(root).open("train", 16, "captions")) == 9
    os.utime(root / "train/00001.tar", (0, 0))
    assert len(dataset(root).open("train", 16, "captions")) == 9
    assert len(read) == 4  # two tars, then one that had grown, then the same at another time
    for kept in (tmp_path / "cache/nanogen/tar-index").iterdir():
        kept.write_bytes(b"broken")
    assert len(dataset(root).open("train", 16, "captions")) == 9


def test_a_cache_that_cannot_be_written_is_done_without(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "train/00000.tar"))  # a file, so no folder can be made in it
    assert len(dataset(root).open("train", 16, "captions")) == 8


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_pair_each_image_with_its_caption(root: Path, num_workers: int) -> None:
    examples = dataset(root).open("train", 16, "captions")
    for batch in islice(loader(examples, 3, transform=ResizeAndCrop(16), num_workers=num_workers), 5):
        assert batch.images is not None
        shades = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
        assert batch.captions == [f"number {shade}" for shade in shades]


def test_questions_are_held_out_captions_in_a_keyed_order(root: Path) -> None:
    task = T2I(image_size=16, dataset=dataset(root))
    one, again, longer = (task.eval_batch(count, seed=4).captions for count in (3, 3, 7))
    assert one is not None
    assert longer is not None
    assert one == again
    assert sorted(one) == ["number 100", "number 101", "number 102"]
    assert list(longer[:3]) == list(longer[3:6]) == list(one)


def test_once_gives_the_split_in_order(root: Path) -> None:
    batches = list(T2I(image_size=16, dataset=dataset(root)).iter_once("val", 2))
    assert [caption for batch in batches for caption in batch.captions or ()] == [
        f"number {n}" for n in (100, 101, 102)
    ]
    assert torch.cat([batch.indices for batch in batches]).tolist() == [0, 1, 2]


def test_a_damaged_image_is_named_by_its_place(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "1.jpg", b"no picture")
        add(tar, "1.txt", b"a dog")
    with pytest.raises(DataError, match=r"at byte 512 of .*x\.tar cannot be read"):
        dataset(tmp_path).open("train", 16, "captions")[0]


@pytest.mark.parametrize(
    ("root", "split", "words"),
    [
        ("nowhere", "train", r"The folder /\S*/nowhere, from `dataset\.root`, does not exist"),
        ("nowhere/*.tar", "train", r"no file '/\S*/nowhere/\*\.tar'"),
        ("nowhere/*.tar", "val", r"Set `dataset\.validation`"),
    ],
)
def test_missing_data_is_one_sentence(root: str, split: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        dataset(root).open(split, 16, "captions")


def test_a_folder_without_tars_or_held_out_tars_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.tar files in .*Set `dataset\.root`"):
        dataset(tmp_path).open("train", 16, "captions")
    with pytest.raises(DataError, match=r"held-out tars. Create it, or set `dataset\.validation`"):
        dataset(tmp_path).open("val", 16, "captions")


def test_hidden_and_system_files_in_a_tar_are_left_out_and_said(tmp_path, caplog):
    """As macOS and notebooks leave them, in archives too."""
    path = tmp_path / "0.tar"
    names = ["__MACOSX/0.png", "__MACOSX/._0.png", ".ipynb_checkpoints/0.png", "a/._1.png", ".DS_Store"]
    with tarfile.open(path, "w") as tar:
        for name in names:
            add(tar, name, b"x")
        for name in ("./a.b/0", "a/1"):
            add(tar, f"{name}.png", shaded(7))
            add(tar, f"{name}.txt", b"seven")
    with caplog.at_level(logging.WARNING):
        rows = index_tar(LocalFile(path))
    assert len(rows) == 2
    assert f"Ignored in {path}: 5 hidden or system files, such as '__MACOSX/0.png'." in caplog.text
    assert [read_spans(LocalFile(path), [row_of(row).captions[0]])[0] for row in rows] == [b"seven", b"seven"]


def test_tars_beside_the_folder_train_are_said(root, caplog):
    write(root / "more.tar", range(2))
    with caplog.at_level(logging.WARNING):
        WebDataset(WebDatasetConfig(root=str(root))).open("train", 16, "captions")
    assert f"Ignored in {root}: 1 .tar files beside the folder `train`." in caplog.text


@pytest.mark.parametrize(("name", "sentence"), [("none.tar", "does not exist"), ("n\0ne.tar", "not a valid file path")])
@pytest.mark.parametrize("fact", ["size", "identity"])
def test_a_missing_local_file_is_a_sentence(name: str, sentence: str, fact: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        getattr(LocalFile(tmp_path / name), fact)
