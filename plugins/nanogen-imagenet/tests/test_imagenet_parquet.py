"""The parquet layout of Hugging Face, written by pyarrow as the hub has it."""

from __future__ import annotations

import json
from io import BytesIO
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from nanogen_arrow.pieces import read_piece
from nanogen_core.errors import DataError
from nanogen_data.loader import loader
from nanogen_imagenet.config import ParquetConfig
from nanogen_imagenet.crop import CropAndFlip
from nanogen_imagenet.parquet import ImageNetParquet

NAMES = ["tench, Tinca tinca", "goldfish", "flamingo"]


def encoded(shade: int) -> bytes:
    data = BytesIO()
    Image.new("L", (20, 24), shade).save(data, "PNG")
    return data.getvalue()


def write(path: Path, shades: range, *, names: list[str] | None) -> None:
    images = [{"bytes": encoded(shade), "path": f"{shade}.png"} for shade in shades]
    table = pyarrow.table({"image": images, "label": [shade % 3 for shade in shades]})
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path, row_group_size=4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train-00000-of-00002.parquet", range(10), names=NAMES)
    write(tmp_path / "data" / "train-00001-of-00002.parquet", range(10, 13), names=NAMES)
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", range(100, 102), names=NAMES)
    return tmp_path


def dataset(root: Path) -> ImageNetParquet:
    return ImageNetParquet(ParquetConfig(root=str(root)))


def test_rows_come_from_their_file_and_row_group(root: Path) -> None:
    examples = dataset(root).open("train", 16, "labels")
    assert len(examples) == 13
    assert [examples[index].label for index in range(13)] == [index % 3 for index in range(13)]
    assert [examples[index].image.getpixel((0, 0))[0] for index in range(13)] == list(range(13))  # type: ignore[union-attr, index]


def test_the_validation_split_is_found_by_its_prefix(root: Path) -> None:
    assert len(dataset(root).open("val", 16, "labels")) == 2


def test_class_names_come_from_the_metadata(root: Path) -> None:
    assert dataset(root).classes == tuple(NAMES)


def test_class_names_come_from_a_file_where_the_metadata_has_none(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", range(3), names=None)
    with pytest.raises(DataError, match=r"Write .*classes\.txt with one name per line"):
        dataset(tmp_path).open("train", 16, "labels")
    (tmp_path / "classes.txt").write_text("one\ntwo\nthree\n")
    assert dataset(tmp_path).classes == ("one", "two", "three")


def test_a_batch_reads_each_row_group_once(root: Path) -> None:
    examples = dataset(root).open("train", 16, "labels")
    read_piece.cache_clear()
    assert [example.label for example in examples.__getitems__([12, 0, 11, 3, 0, 8])] == [0, 0, 2, 0, 0, 2]
    assert read_piece.cache_info().misses == 3


@pytest.mark.parametrize("num_workers", [0, 1])
def test_it_feeds_the_loader(root: Path, num_workers: int) -> None:
    examples = dataset(root).open("train", 16, "labels")
    for batch in islice(loader(examples, 4, transform=CropAndFlip(16, True), num_workers=num_workers), 4):
        assert batch.labels is not None
        assert batch.labels.tolist() == [index % 3 for index in batch.indices.tolist()]


def test_a_missing_split_names_what_is_there(root: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'test' in .*splits: train, validation.* files test-\*\.parquet"):
        dataset(root).open("test", 16, "labels")


def test_another_table_is_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"picture": [1]}), tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="has no column 'image'. It has: picture"):
        dataset(tmp_path).open("train", 16, "labels")


def test_an_image_column_of_another_type_names_the_dataset_that_can_choose_one(tmp_path: Path) -> None:
    """This dataset has no option `image`."""
    pyarrow.parquet.write_table(pyarrow.table({"image": [1, 2], "label": [0, 1]}), tmp_path / "train.parquet")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"With the dataset `arrow`, set `dataset\.image` to another column"):
        dataset(tmp_path).open("train", 16, "labels")


def test_a_file_cut_short_is_named(root: Path) -> None:
    path = root / "data" / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet is not a whole parquet file"):
        dataset(root).open("train", 16, "labels")
