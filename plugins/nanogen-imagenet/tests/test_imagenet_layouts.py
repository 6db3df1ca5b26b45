"""Class folders as people and programs leave them: what is no class, what is no image, and what is said of it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from PIL import Image, features

from nanogen_core.errors import DataError
from nanogen_data import notes
from nanogen_data.pictures import SUFFIXES
from nanogen_imagenet.config import FolderConfig
from nanogen_imagenet.folder import ImageNetFolder


@pytest.fixture(autouse=True)
def _unsaid() -> None:
    notes._logged.clear()


def draw(path: Path, shade: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (shade, shade, shade)).save(path, format="PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            for number in range(2):
                draw(tmp_path / split / name / f"{number}.png")
    return tmp_path


def dataset(root: Path) -> ImageNetFolder:
    return ImageNetFolder(FolderConfig(root=str(root)))


def labels(root: Path, split: str = "train") -> list[int | None]:
    examples = dataset(root).open(split, 16, "labels")
    return [examples[index].label for index in range(len(examples))]


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", ".git", "@eaDir", "lost+found"])
def test_hidden_and_system_folders_are_no_classes_and_said(
    root: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    draw(root / "train" / name / "0-checkpoint.png")
    with caplog.at_level(logging.WARNING):
        assert dataset(root).classes == ("cat", "dog")
        assert labels(root) == labels(root, "val") == [0, 0, 1, 1]
    assert f"Left out of {root / 'train'}: hidden or system entries: 1 ({name})." in caplog.messages
    assert len(caplog.messages) == 1  # once, however often it is opened


def test_folders_without_images_are_no_classes_and_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train" / "bird").mkdir()
    (root / "train" / "ant" / "deeper").mkdir(parents=True)
    (root / "train" / "ant" / "notes.txt").write_text("none yet")
    with caplog.at_level(logging.WARNING):
        assert dataset(root).classes == ("cat", "dog")
        assert labels(root) == [0, 0, 1, 1]
    assert "folders without images: 2 (ant, bird); files without an image suffix: 1 (1 .txt)" in caplog.text


def test_images_below_the_class_folder_belong_to_the_class(root: Path) -> None:
    draw(root / "train" / "cat" / "indoors" / "9.png")
    draw(root / "train" / "cat" / "indoors" / ".thumbs" / "9.png")
    draw(root / "train" / "fish" / "a" / "b" / "0.png")
    assert dataset(root).classes == ("cat", "dog", "fish")
    assert labels(root) == [0, 0, 0, 1, 1, 2]
    files = dataset(root).open("train", 16, "labels").files()
    assert [str(file.relative_to(root / "train")) for file in files[:3]] == [
        "cat/0.png",
        "cat/1.png",
        "cat/indoors/9.png",
    ]


def test_a_link_to_a_folder_above_ends(root: Path) -> None:
    (root / "train" / "cat" / "again").symlink_to(root / "train" / "cat", target_is_directory=True)
    assert labels(root) == [0, 0, 1, 1]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_of_an_image_is_read(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    kind = {".jfif": "JPEG", ".jpe": "JPEG", ".pnm": "PPM", ".pgm": "PPM", ".pbm": "PPM"}.get(suffix)
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
        mode = "1" if suffix == ".pbm" else "L" if suffix == ".pgm" else "RGB"
        Image.new(mode, (16, 16)).save(tmp_path / split / "cat" / f"0{suffix.upper()}", format=kind)
    (example,) = [dataset(tmp_path).open("train", 16, "labels")[0]]
    assert example.image.size == (16, 16)  # type: ignore[union-attr]


def test_other_suffixes_and_loose_images_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        (root / "train" / "cat" / f"{number}.heic").write_bytes(b"x")
    (root / "train" / "README").write_text("hello")
    draw(root / "train" / "loose.png")
    with caplog.at_level(logging.WARNING):
        assert labels(root) == [0, 0, 1, 1]
    assert "images outside the class folders: 1 (loose.png)" in caplog.text
    assert "files without an image suffix: 4 (1 without a suffix, 3 .heic)" in caplog.text


def test_pipes_and_files_of_a_terabyte_are_no_images(root: Path) -> None:
    os.mkfifo(root / "train" / "cat" / "a.png")
    with (root / "train" / "cat" / "b.png").open("wb") as file:
        file.truncate(1 << 40)  # a sparse file, that takes no room
    examples = dataset(root).open("train", 16, "labels")
    for number, words in (
        (2, "not a regular file"),
        (3, "has 1,099,511,627,776 bytes, more than the limit of"),
    ):
        with pytest.raises(DataError, match=words):
            examples[number]


def test_a_split_of_empty_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="has 1 folder, but no image in any folder"):
        _ = dataset(tmp_path).classes


def test_a_class_name_that_is_no_utf8_is_refused(root: Path) -> None:
    os.makedirs(os.fsencode(root / "train") + b"/caf\xe9")
    draw(root / "train" / "x.png")
    os.rename(root / "train" / "x.png", os.fsencode(root / "train") + b"/caf\xe9/0.png")
    with pytest.raises(DataError, match=r"name of the class folder b'caf\\xe9' in .*train is not UTF-8. Rename"):
        _ = dataset(root).classes


def test_an_image_whose_name_is_no_utf8_is_one_sentence_that_can_be_written(root: Path) -> None:
    os.rename(root / "train" / "cat" / "0.png", os.fsencode(root / "train" / "cat") + b"/\xe9.png")
    (root / "train" / "cat" / os.fsdecode(b"\xe9.png")).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"\\udce9\.png cannot be read") as found:
        dataset(root).open("train", 16, "labels")[1]
    assert str(found.value).encode()


def test_a_folder_that_may_not_be_listed_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refused)
    with pytest.raises(DataError, match=r"The folder .*train cannot be read: permission denied for this user"):
        _ = dataset(root).classes


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ['"guinea pig" cavy, Cavia', "guinea pig\tcavy, Cavia", '"guinea pig"\tcavy, Cavia'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_folders_with_spaces_are_quoted_or_tabbed(root: Path, line: str, encoding: str) -> None:
    draw(root / "train" / "guinea pig" / "0.png")
    text = f"cat domestic cat\r\n\r\ndog dog\r\n{line}\r\n"
    (root / "classes.txt").write_bytes(text.encode(encoding))
    assert dataset(root).classes == ("domestic cat", "dog", "cavy, Cavia")


def test_the_advice_for_a_folder_with_a_space_is_a_line_that_works(root: Path) -> None:
    draw(root / "train" / 'a "big" dog' / "0.png")
    (root / "classes.txt").write_text('cat cat\ndog dog\na "big" dog one\n')
    with pytest.raises(DataError, match="Add a line `(.*) NAME` for each") as found:
        _ = dataset(root).classes
    advice = str(found.value).partition("Add a line `")[2].partition(" NAME`")[0]
    (root / "classes.txt").write_text(f"cat cat\ndog dog\n{advice} hound\n")
    assert dataset(root).classes == ("hound", "cat", "dog")


def test_two_lines_for_one_folder_are_refused(root: Path) -> None:
    (root / "classes.txt").write_text("cat one\ndog two\ncat three\n")
    with pytest.raises(DataError, match=r"Line 3 of .*classes\.txt is the second one for the folder 'cat'"):
        _ = dataset(root).classes


def test_a_names_file_in_another_encoding_is_refused_with_its_line(root: Path) -> None:
    (root / "classes.txt").write_bytes("cat one\ndog café\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt is not UTF-8 in line 2 \(byte 0xe9\)"):
        _ = dataset(root).classes


def test_brackets_and_spaces_in_the_root_are_taken_as_typed(tmp_path: Path) -> None:
    for name in ("a [1] {x,y} #2", "no", "2024"):
        draw(tmp_path / name / "train" / "cat" / "0.png")
        assert dataset(tmp_path / name).classes == ("cat",)
        assert ImageNetFolder.recognises(str(tmp_path / name))
