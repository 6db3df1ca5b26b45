"""Datasets on disk in the layout of Hugging Face: Arrow streams with their state, and parquet files."""

from __future__ import annotations

import json
from io import BytesIO
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
from nanogen_core.testing import PluginContract
from nanogen_data.corrupt import CorruptSampleError

NAMES = ["tench", "goldfish", "flamingo"]
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}, "text": {"_type": "Value"}}


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_arrow.plugin"


def encoded(shade: int) -> bytes:
    data = BytesIO()
    Image.new("L", (20, 24), shade).save(data, "PNG")
    return data.getvalue()


def table(shades: range, **columns: list[Any]) -> pyarrow.Table:
    rows = {
        "image": [{"bytes": encoded(shade), "path": None} for shade in shades],
        "label": [shade % 3 for shade in shades],
        "text": [f" number {shade}\n" for shade in shades],
    }
    made = pyarrow.table({**rows, **columns})
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def save(folder: Path, *tables: pyarrow.Table) -> None:
    """As `Dataset.save_to_disk` does: streams in several record batches, named by state.json."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{len(tables):05d}.arrow" for number in range(len(tables))]
    for name, rows in zip(names, tables, strict=True):
        with pyarrow.OSFile(str(folder / name), "wb") as file, pyarrow.ipc.new_stream(file, rows.schema) as stream:
            stream.write_table(rows, max_chunksize=3)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save(tmp_path / "train", table(range(5)), table(range(5, 7)))
    save(tmp_path / "validation", table(range(100, 102)))
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))
    return tmp_path


def dataset(root: Path, **options: Any) -> Arrow:
    return Arrow(ArrowConfig(root=str(root), **options))


def shades(examples: Any) -> list[int]:
    return [examples[index].image.getpixel((0, 0))[0] for index in range(len(examples))]


def test_rows_follow_each_other_over_files_and_record_batches(root: Path) -> None:
    labelled, captioned = (dataset(root).open("train", 16, view) for view in ("labels", "captions"))
    assert shades(labelled) == shades(captioned) == list(range(7))
    assert [labelled[index].label for index in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [captioned[index].caption for index in range(7)] == [f"number {index}" for index in range(7)]
    assert labelled[0].caption is captioned[0].label is None
    assert shades(dataset(root).open("val", 16, "labels")) == [100, 101]
    assert dataset(root).classes == tuple(NAMES)


def test_a_single_saved_dataset_is_the_training_split(tmp_path: Path) -> None:
    save(tmp_path / "one", table(range(4)))
    assert shades(dataset(tmp_path / "one").open("train", 16, "labels")) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="no split 'val'"):
        dataset(tmp_path / "one").open("val", 16, "labels")


def test_parquet_files_are_read_by_row_group(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, part in enumerate([range(5), range(5, 7)]):
        path = tmp_path / "data" / f"train-{number:05d}-of-00002.parquet"
        pyarrow.parquet.write_table(table(part), path, row_group_size=2)
    assert shades(dataset(tmp_path).open("train", 16, "captions")) == list(range(7))
    assert Arrow.recognises(str(tmp_path))


def test_it_reads_what_the_library_reads(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=NAMES), text=datasets.Value("string")
    )
    rows = table(range(6)).to_pydict()
    saved = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": saved}).save_to_disk(str(tmp_path), num_shards={"train": 2})
    theirs = datasets.load_from_disk(str(tmp_path))["train"]
    ours = dataset(tmp_path).open("train", 16, "labels")
    assert len(ours) == len(theirs)
    for index, row in enumerate(theirs):
        assert ours[index].label == row["label"]
        assert np.array_equal(np.asarray(ours[index].image), np.asarray(row["image"].convert("RGB")))


def test_other_columns_are_named(tmp_path: Path) -> None:
    rows = table(range(3)).rename_columns(["jpg", "kind", "story"]).replace_schema_metadata(None)
    save(tmp_path / "own", rows)
    (tmp_path / "own/classes.txt").write_text("a\nb\nc\n")
    examples = dataset(tmp_path / "own", image="jpg", label="kind").open("train", 16, "labels")
    assert [examples[index].label for index in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"no column with a usual name for captions.* Set `dataset\.caption`"):
        dataset(tmp_path / "own").open("train", 16, "captions")
    with pytest.raises(DataError, match=r"no column 'stori'. It has: jpg, kind, story\. Did you mean 'story'\?"):
        dataset(tmp_path / "own", caption="stori").open("train", 16, "captions")


def test_labels_need_names(tmp_path: Path) -> None:
    save(tmp_path / "bare", table(range(3)).replace_schema_metadata(None))
    with pytest.raises(DataError, match=r"have no names. Write .*classes\.txt"):
        dataset(tmp_path / "bare").open("train", 16, "labels")


@pytest.mark.parametrize(
    ("view", "columns", "reason"),
    [
        ("labels", {"image": [None, None]}, "no image"),
        ("labels", {"image": [{"bytes": b"no picture"}, {"bytes": None}]}, "unknown format"),
        ("captions", {"text": [None, "a"]}, "no caption"),
        ("captions", {"text": ["  ", "a"]}, "empty caption"),
    ],
)
def test_bad_rows_say_why(tmp_path: Path, view: str, columns: dict[str, Any], reason: str) -> None:
    if columns.get("image") == [None, None]:
        columns = {"image": pyarrow.array([None, None], table(range(1)).schema.field("image").type)}
    save(tmp_path / "bad", table(range(2), **columns))
    with pytest.raises(CorruptSampleError) as found:
        dataset(tmp_path / "bad").open("train", 16, view)[0]
    assert found.value.reason == reason


def test_damaged_and_missing_files_are_named(root: Path) -> None:
    file = root / "train/data-00001-of-00002.arrow"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match=r"data-00001-of-00002\.arrow is not a whole Arrow stream"):
        dataset(root).open("train", 16, "labels")
    file.unlink()
    with pytest.raises(DataError, match=r"state\.json lists the file .*data-00001-of-00002\.arrow, which is missing"):
        dataset(root).open("train", 16, "labels")


def test_a_state_cannot_point_outside_its_folder(root: Path) -> None:
    state = {"_data_files": [{"filename": "../validation/data-00000-of-00001.arrow"}]}
    (root / "train/state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="state.json lists"):
        dataset(root).open("train", 16, "labels")


def test_a_state_with_a_malformed_entry_says_which(root: Path) -> None:
    state = {"_data_files": [{"filename": "data-00000-of-00002.arrow"}, {"file": "other.arrow"}]}
    (root / "train/state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match=r"lists a data file without a name: \{'file': 'other.arrow'\}"):
        dataset(root).open("train", 16, "labels")


def test_several_columns_of_captions_with_probabilities(tmp_path: Path) -> None:
    picture = BytesIO()
    Image.new("RGB", (16, 16)).save(picture, "PNG")
    columns = {
        "image": [picture.getvalue()] * 3,
        "long": ["long 0", "long 1", None],
        "short": [["s0", "s1"], ["s2"], ["s3", "s4"]],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "train-00000-of-00001.parquet")
    config = ArrowConfig(root=str(tmp_path), captions={"long": 0.75, "short#2": 0.25})
    rows = Arrow(config).open("train", 16, "captions")
    found = [rows[index].caption for index in range(3)]
    assert [(tuple(each), each.weights, each.missing) for each in found] == [
        (("long 0", "s1"), (0.75, 0.25), ()),
        (("long 1",), (1.0,), ("short#2",)),
        (("s4",), (1.0,), ("long",)),
    ]
    assert rows.caption(0) == found[0]
    with pytest.raises(DataError, match=r"no column 'shrot'.*Use one of them as a key of `dataset\.captions`"):
        Arrow(ArrowConfig(root=str(tmp_path), captions={"shrot": 1.0})).open("train", 16, "captions")
    with pytest.raises(ValueError, match="sum to 1"):
        ArrowConfig(captions={"long": 0.5})
