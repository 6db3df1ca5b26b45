"""Tables as other programs write them: which column is meant, what a label is, images by path, lists of captions."""

from __future__ import annotations

import json
import logging
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from nanogen_arrow.config import ArrowConfig
from nanogen_arrow.dataset import Arrow
from nanogen_core.errors import DataError
from nanogen_data import notes
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import loader
from nanogen_files.images import to_tensor
from nanogen_imagenet.config import ParquetConfig
from nanogen_imagenet.parquet import ImageNetParquet


@pytest.fixture(autouse=True)
def _unsaid() -> None:
    notes._logged.clear()


def encoded(shade: int) -> bytes:
    data = BytesIO()
    Image.new("L", (20, 24), shade).save(data, "PNG")
    return data.getvalue()


def image(shade: int, path: str | None = None) -> dict[str, Any]:
    return {"bytes": encoded(shade), "path": path}


def write(
    root: Path, columns: dict[str, Any], *, features: Any = None, name: str = "train-00000-of-00001", both: bool = True
) -> Path:
    table = pyarrow.table(columns)
    if features is not None:
        text = features if isinstance(features, bytes) else json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({b"huggingface": text})
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{name}.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=3)
    if both:
        pyarrow.parquet.write_table(table, root / "validation-00000-of-00001.parquet")
    return path


def shades(examples: Any) -> list[int]:
    return [examples[index].image.getpixel((0, 0))[0] for index in range(len(examples))]


def arrow(root: Path, view: str = "captions", split: str = "train", **options: Any) -> Any:
    return Arrow(ArrowConfig(root=str(root), **options)).open(split, 16, view)


# -- which column ----------------------------------------------------------------------------------------------------

PICTURES = [image(1), image(2)]
OTHERS = [image(101), image(102)]
TEXTS = ["one", "two"]


@pytest.mark.parametrize("described", [True, False])
def test_the_column_called_image_comes_before_every_other(tmp_path: Path, described: bool) -> None:
    features = {"conditioning_image": {"_type": "Image"}, "image": {"_type": "Image"}} if described else None
    write(tmp_path, {"conditioning_image": OTHERS, "image": PICTURES, "text": TEXTS}, features=features)
    assert shades(arrow(tmp_path)) == [1, 2]
    assert shades(arrow(tmp_path, image="conditioning_image")) == [101, 102]


@pytest.mark.parametrize("described", [True, False])
def test_several_columns_of_images_are_refused(tmp_path: Path, described: bool) -> None:
    features = {"mask": {"_type": "Image"}, "photo": {"_type": "Image"}} if described else None
    write(tmp_path, {"mask": OTHERS, "photo": PICTURES, "text": TEXTS}, features=features)
    with pytest.raises(DataError, match=r"several columns that could be the images: mask, photo\. Set `"):
        arrow(tmp_path)


def test_the_features_say_which_bytes_are_an_image(tmp_path: Path) -> None:
    columns = {"embedding": [b"\0" * 8] * 2, "photo": PICTURES, "text": TEXTS}
    write(tmp_path / "a", columns, features={"photo": {"_type": "Image"}, "embedding": {"_type": "Value"}})
    assert shades(arrow(tmp_path / "a")) == [1, 2]
    write(tmp_path / "b", columns)
    with pytest.raises(DataError, match="several columns that could be the images: embedding, photo"):
        arrow(tmp_path / "b")


@pytest.mark.parametrize(
    ("columns", "view", "sentence"),
    [
        ({"image": PICTURES, "text": TEXTS, "prompt": TEXTS}, "captions", "could be the captions: prompt, text"),
        ({"image": PICTURES, "cls": [0, 1], "class": [1, 0]}, "labels", "could be the labels: class, cls"),
        (
            {"image": [1, 2], "text": TEXTS},
            "captions",
            "column 'image' of .* has the type int64, but images must be bytes",
        ),
        (
            {"image": PICTURES, "caption": [1, 2]},
            "captions",
            "column 'caption' .* has the type int64, but captions must be",
        ),
        (
            {"image": PICTURES, "caption": [{"a": "b"}] * 2},
            "captions",
            "type struct<a: string>, but captions must be",
        ),
        ({"image": PICTURES, "caption": [[1], [2]]}, "captions", "type list<.*int64>, but captions must be texts"),
        ({"text": TEXTS}, "captions", "has no column of images"),
        ({"text": [b"a", b"b"]}, "captions", "column 'text' of .* is chosen as both the image and the caption"),
        ({"image": PICTURES}, "captions", "has no column with a usual name for captions"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, columns: dict[str, Any], view: str, sentence: str) -> None:
    write(tmp_path, columns)
    with pytest.raises(DataError, match=sentence):
        arrow(tmp_path, view)


def test_a_caption_column_comes_before_other_texts(tmp_path: Path) -> None:
    write(tmp_path, {"image": PICTURES, "text": ["x", "y"], "caption": TEXTS})
    assert [arrow(tmp_path)[index].caption for index in range(2)] == TEXTS


def test_ambiguous_captions_do_not_stop_labels(tmp_path: Path) -> None:
    write(tmp_path, {"image": PICTURES, "text": TEXTS, "prompt": TEXTS, "label": [1, 0]})
    (tmp_path / "classes.txt").write_text("a\nb\n")
    assert [arrow(tmp_path, "labels")[index].label for index in range(2)] == [1, 0]


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ({"image": PICTURES, "text": [1, 2]}, "int64"),
        ({"image": PICTURES, "words": TEXTS}, "missing"),
    ],
)
def test_files_of_one_split_have_the_same_columns(tmp_path: Path, second: dict[str, Any], found: str) -> None:
    write(tmp_path, {"image": PICTURES, "text": TEXTS}, name="train-00000-of-00002", both=False)
    write(tmp_path, second, name="train-00001-of-00002", both=False)
    with pytest.raises(DataError, match=f"column 'text' is string in train-00000.* and {found} in .*train-00001"):
        arrow(tmp_path)


def test_a_column_twice_in_a_later_file_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"image": PICTURES, "text": TEXTS}, name="train-00000-of-00002", both=False)
    table = pyarrow.table([PICTURES, TEXTS, TEXTS], names=["image", "text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(DataError, match=r"column 'text' is string in train-00000.* and there 2 times in .*train-00001"):
        arrow(tmp_path)


def test_missing_files_of_a_set_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 2):
        write(tmp_path, {"image": PICTURES, "text": TEXTS}, name=f"train-{number:05d}-of-00004", both=False)
    with caplog.at_level(logging.WARNING):
        assert len(arrow(tmp_path)) == 4
    assert "Only 2 of 4 files such as " in caplog.text
    write(tmp_path, {"image": PICTURES, "text": TEXTS}, name="train-00000-of-00009", both=False)
    with pytest.raises(DataError, match="files of 2 sets"):
        arrow(tmp_path)


def test_two_places_for_one_split_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "data"):
        write(folder, {"image": PICTURES, "text": TEXTS})
    with pytest.raises(DataError, match="2 sets of files for the split 'train'.* Keep only one set"):
        arrow(tmp_path)


# -- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "row", "value"),
    [
        (["cat", "dog"] * 3, 0, "'cat'"),
        ([0.0, 1.0] * 3, 0, "0.0"),
        ([True, False] * 3, 0, "True"),
        ([[0]] * 6, 0, r"\[0\]"),
        ([None] * 6, 0, "None"),
        ([0, 1, 0, 1, None, 0], 4, "None"),
        ([0, 1, 0, 1, 0, 2], 5, "2"),
        ([0, 1, 0, 3, 0, 2], 3, "3"),
        ([0, 1, 0, -1, 0, 1], 3, "-1"),
        (np.array([0, 1, 0, 1, 2**64 - 1, 0], dtype=np.uint64), 4, "18446744073709551615"),
        (np.array([0, 1, 7, 1, 0, 0], dtype=np.int8), 2, "7"),
    ],
)
@pytest.mark.parametrize("saved", ["parquet", "arrow"])
def test_wrong_labels_are_refused_before_the_first_is_used(
    tmp_path: Path, labels: Any, row: int, value: str, saved: str
) -> None:
    columns = {"image": [image(shade) for shade in range(6)], "label": labels}
    sentence = rf"The label of row {row} of .* is {value}; labels must be integers from 0 to 1 \(2 classes\)"
    if saved == "parquet":
        write(tmp_path, columns)
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
        for split in ("train", "val"):
            with pytest.raises(DataError, match=sentence):
                ImageNetParquet(ParquetConfig(root=str(tmp_path))).open(split, 16, "labels")
    else:
        table = pyarrow.table(columns)
        with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as out:
            out.write_table(table, max_chunksize=4)
        (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=sentence):
        arrow(tmp_path, "labels")


def test_labels_from_one_have_a_hint(tmp_path: Path) -> None:
    write(tmp_path, {"image": [image(shade) for shade in range(4)], "label": [1, 2, 1, 2]})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="row 1 of .* is 2; .* The labels seem to start at 1: subtract 1 from each"):
        arrow(tmp_path, "labels")


def test_rows_are_counted_through_a_file(tmp_path: Path) -> None:
    columns = {"image": [image(shade) for shade in range(7)], "text": ["a"] * 5 + ["", "b"]}
    write(tmp_path, columns)
    with pytest.raises(CorruptSampleError, match=r"The caption in row 5 of .*train-00000-of-00001\.parquet is empty"):
        arrow(tmp_path)[5]


def test_small_and_dictionary_labels_are_read(tmp_path: Path) -> None:
    labels = pyarrow.array([1, 0, 1]).dictionary_encode()
    write(tmp_path, {"image": [image(s) for s in range(3)], "label": labels})
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert [arrow(tmp_path, "labels")[index].label for index in range(3)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ({"label": {"_type": "ClassLabel", "names": "cat"}}, "are not a list of non-empty texts"),
        ({"label": {"_type": "ClassLabel", "names": ["cat", 1]}}, "are not a list of non-empty texts"),
        ({"label": {"_type": "ClassLabel", "names": ["cat", ""]}}, "are not a list of non-empty texts"),
        (["label"], "is not of the form"),
        (b"{", "metadata `huggingface` of .* is not valid JSON"),
        (b"\xff", "metadata `huggingface` of .* is not UTF-8"),
        (b'{"info": []}', "have no names"),
        (b"[]", "is not of the form"),
    ],
)
def test_metadata_of_another_form_are_one_sentence(tmp_path: Path, features: Any, sentence: str) -> None:
    write(tmp_path, {"image": PICTURES, "label": [0, 1]}, features=features)
    with pytest.raises(DataError, match=sentence):
        arrow(tmp_path, "labels")


def test_blank_lines_in_classes_txt_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"image": PICTURES, "label": [0, 1]})
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(DataError, match=r"Line 2 of .*classes\.txt is blank: write one class name per line"):
        arrow(tmp_path, "labels")
    (tmp_path / "classes.txt").write_bytes("café\r\ndog\u2028house\r\n".encode("utf-16"))
    assert Arrow(ArrowConfig(root=str(tmp_path))).classes == ("café", "dog\u2028house")


# -- images by path --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["struct", "struct of paths", "text"])
@pytest.mark.parametrize("place", ["beside the table", "in the root"])
def test_images_are_read_by_their_paths(tmp_path: Path, form: str, place: str) -> None:
    home = tmp_path / "data" if place == "beside the table" else tmp_path
    for shade in (3, 4):
        (home / "pics").mkdir(parents=True, exist_ok=True)
        (home / "pics" / f"{shade}.png").write_bytes(encoded(shade))
    paths = ["pics/3.png", "pics/4.png"]
    cells: Any = {
        "struct": [{"bytes": None, "path": path} for path in paths],
        "struct of paths": [{"path": path} for path in paths],
        "text": paths,
    }[form]
    if form == "struct":
        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        cells = pyarrow.array(cells, kind)
    write(tmp_path / "data", {"image": cells, "text": TEXTS})
    assert shades(arrow(tmp_path)) == [3, 4]


@pytest.mark.parametrize(
    "path", ["../secret.png", "pics/../../secret.png", "{}/secret.png", "none.png", "a\0b", "pics"]
)
def test_a_path_outside_or_without_a_file_is_said(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(encoded(1))
    (tmp_path / "root" / "pics").mkdir(parents=True)
    write(tmp_path / "root", {"image": [path.format(tmp_path)], "text": ["one"]})
    with pytest.raises(
        CorruptSampleError, match=r"row 0 of .* is the path '.*' without bytes, and there is no such file inside"
    ):
        arrow(tmp_path / "root")[0]


def test_neither_bytes_nor_path_is_said(tmp_path: Path) -> None:
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    write(tmp_path, {"image": pyarrow.array([None, {"bytes": None, "path": ""}], kind), "text": TEXTS})
    for row in range(2):
        with pytest.raises(CorruptSampleError, match=f"The image in row {row} of .* has neither bytes nor a path"):
            arrow(tmp_path)[row]


# -- captions --------------------------------------------------------------------------------------------------------


def test_one_caption_of_a_list_is_taken_each_epoch(tmp_path: Path) -> None:
    captions = [["a ball", "a round thing"], ["a cube", "a square thing", "a box"]]
    write(tmp_path, {"image": PICTURES, "captions": captions})
    examples = arrow(tmp_path)
    assert examples[0].caption == ("a ball", "a round thing")
    assert examples.caption(1) == ("a cube", "a square thing", "a box")
    batches = list(islice(loader(examples, 2, transform=lambda image, number: to_tensor(image), seed=3), 40))
    seen = {(index, text) for b in batches for index, text in zip(b.indices.tolist(), b.captions or (), strict=True)}
    assert seen == {(index, text) for index, texts in enumerate(captions) for text in texts}


@pytest.mark.parametrize(
    ("captions", "reason"),
    [([[], ["a"]], "no caption"), ([None, ["a"]], "no caption"), ([["a", None], ["a"]], "caption not a string")],
)
def test_a_list_without_captions_is_a_bad_example(tmp_path: Path, captions: Any, reason: str) -> None:
    write(tmp_path, {"image": PICTURES, "caption": captions})
    with pytest.raises(CorruptSampleError) as found:
        arrow(tmp_path)[0]
    assert found.value.reason == reason
    assert arrow(tmp_path)[1].caption == "a"  # of a list of one


def test_marks_and_encodings_of_captions_in_bytes(tmp_path: Path) -> None:
    write(tmp_path, {"image": PICTURES, "caption": ["\ufeffcafé", "  two "]})
    assert [arrow(tmp_path)[index].caption for index in range(2)] == ["café", "two"]
    data = [value.encode("utf-16") for value in ("café", "two")]
    write(tmp_path, {"image": PICTURES, "caption": data})
    assert [arrow(tmp_path)[index].caption for index in range(2)] == ["café", "two"]


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"image": PICTURES, "caption": TEXTS})

    def refused(path: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refused)
    with pytest.raises(DataError, match=r"\.parquet cannot be read: permission denied for this user"):
        arrow(tmp_path)


def test_a_table_that_changed_is_read_anew(tmp_path: Path) -> None:
    write(tmp_path, {"image": PICTURES, "caption": TEXTS})
    assert shades(arrow(tmp_path)) == [1, 2]
    write(tmp_path, {"image": [*OTHERS, *OTHERS], "caption": [*TEXTS, *TEXTS]})
    assert shades(arrow(tmp_path)) == [101, 102, 101, 102]


# -- the images that a table names are part of its source -------------------------------------------------------------


def named(kind: str, names: list[str | None]) -> pyarrow.Array:
    """A column of paths as programs write it."""
    if kind == "text":
        return pyarrow.array(names)
    if kind == "dictionary":
        return pyarrow.array(names).dictionary_encode()
    rows = [{"bytes": None, "path": name} for name in names]
    bytes_type = pyarrow.null() if kind == "null bytes" else pyarrow.binary()
    return pyarrow.array(rows, pyarrow.struct([("bytes", bytes_type), ("path", pyarrow.string())]))


@pytest.mark.parametrize("kind", ["text", "dictionary", "struct", "null bytes"])
def test_a_table_of_paths_lists_the_images_too(tmp_path: Path, kind: str) -> None:
    names = ["pics/a b.png", "pics/ü.png", "pics/a b.png", "pics/gone.png", None]
    table = write(tmp_path, {"image": named(kind, names), "text": ["x"] * 5}, both=False)
    (tmp_path / "pics").mkdir()
    for name in ("a b.png", "ü.png", "unused.png"):
        (tmp_path / "pics" / name).write_bytes(encoded(1))
    assert arrow(tmp_path).files() == [table, tmp_path / "pics" / "a b.png", tmp_path / "pics" / "ü.png"]


def test_the_path_beside_bytes_is_a_mere_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(9))
    (tmp_path / "b.png").write_bytes(encoded(9))
    rows = [image(1, "a.png"), {"bytes": None, "path": "b.png"}, image(3)]
    table = write(tmp_path, {"image": rows, "text": ["x"] * 3}, both=False)
    assert arrow(tmp_path).files() == [table, tmp_path / "b.png"]
    other = write(tmp_path / "whole", {"image": [image(1, "../a.png")], "text": ["x"]}, both=False)
    assert arrow(tmp_path / "whole").files() == [other]


# -- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['["a cat", "a dog"]', "['a cat', 'a dog']", "[ 'one' ]"])
def test_a_list_that_is_written_as_one_text_is_said(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, {"image": PICTURES, "text": [text, "a [red] cat"]})
    with caplog.at_level(logging.WARNING):
        assert [arrow(tmp_path)[index].caption for index in (1, 0)] == ["a [red] cat", text]
    place = f"in row 0 of {tmp_path / 'train-00000-of-00001.parquet'}"
    assert [record.message for record in caplog.records] == [
        f"The caption {place} looks like a list but is one string, and is used as it is: {text!r}. Store "
        f"several captions as a list of strings."
    ]


@pytest.mark.parametrize(("names", "right"), [(["a", "b"], True), (["b", "a"], False), (["a", "b", "c"], False)])
def test_class_names_that_differ_from_the_features_are_refused(tmp_path: Path, names: list[str], right: bool) -> None:
    features = {"label": {"_type": "ClassLabel", "names": names}}
    write(tmp_path, {"image": PICTURES, "label": [0, 1]}, features=features)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    if right:
        assert Arrow(ArrowConfig(root=str(tmp_path))).classes == ("a", "b")
        return
    with pytest.raises(DataError, match=rf"classes\.txt has 2 class names, which differ from the {len(names)} in"):
        _ = Arrow(ArrowConfig(root=str(tmp_path))).classes
