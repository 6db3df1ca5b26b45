"""Images that were exchanged under the same names and sizes: precomputed latents and a resumed run notice."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from precomputed_data import config, on_latents, picture, resolved

from nanogen_core import build_pipeline
from nanogen_core.errors import DataError
from nanogen_data.precomputed import identity, training
from nanogen_data.precomputed.prepare import Options, prepare
from nanogen_data.stored_files import RemoteFile
from nanogen_train.trainer import record
from nanogen_train.trainer.loop import Run

SMALL = Options(shard_size=4, batch_size=3)


def class_folders(root: Path) -> tuple[dict[str, Any], Path]:
    for split in ("train", "val"):
        for number, name in enumerate(("a", "b")):
            (root / split / name).mkdir(parents=True)
            picture(number).save(root / split / name / "0.bmp")  # all of one size are equally long
    return {"name": "imagenet-folder", "root": str(root)}, root / "train" / "b" / "0.bmp"


def table_of_paths(root: Path) -> tuple[dict[str, Any], Path]:
    (root / "pics").mkdir(parents=True)
    for number in range(2):
        picture(number).save(root / "pics" / f"{number}.bmp")
    table = pyarrow.table({"image": ["pics/0.bmp", "pics/1.bmp"], "label": [0, 1]})
    for split in ("train", "validation"):
        pyarrow.parquet.write_table(table, root / f"{split}.parquet")
    (root / "classes.txt").write_text("a\nb\n")
    return {"name": "arrow", "root": str(root)}, root / "pics" / "1.bmp"


def exchange(file: Path) -> None:
    before = file.stat()
    picture(7).save(file)
    assert file.stat().st_size == before.st_size


class Mixed:
    """The files of a root of which one is remote."""

    def __init__(self, *local: Path) -> None:
        self._local = local

    def files(self) -> list[Path]:
        return list(self._local)

    def remote_files(self) -> list[RemoteFile]:
        return [RemoteFile("https://a.example/x.tar", 10, "v1")]


def test_a_local_file_beside_remote_ones_is_hashed(tmp_path: Path) -> None:
    file = tmp_path / "0.bmp"
    picture(0).save(file)
    before = identity._hashes_of_files(Mixed(file))
    exchange(file)
    after = identity._hashes_of_files(Mixed(file))
    assert {name for name in before if before[name] != after[name]} == {"contents"}
    assert identity._hashes_of_files(Mixed())["contents"] is None


@pytest.mark.parametrize("layout", [class_folders, table_of_paths])
def test_latents_of_other_images_are_refused(tmp_path: Path, layout: Any) -> None:
    dataset, file = layout(tmp_path / "data")
    latents = tmp_path / "latents"
    prepare(resolved("imagenet", "", dataset=dataset), latents, SMALL)
    training.open_latents(latents, on_latents(latents, "imagenet", "", dataset=dataset).parts)
    exchange(file)
    with pytest.raises(
        DataError,
        match=r"^The data in \S*data\S* differ from the data of the latents in .*: the data files .* sizes\. Restore",
    ):
        training.open_latents(latents, on_latents(latents, "imagenet", "", dataset=dataset).parts)


def test_latents_of_before_the_contents_were_kept_still_train(tmp_path: Path) -> None:
    dataset, _ = class_folders(tmp_path / "data")
    latents = tmp_path / "latents"
    made = prepare(resolved("imagenet", "", dataset=dataset), latents, SMALL)
    made.source.pop("contents")  # type: ignore[attr-defined]
    made.write(latents)
    assert len(training.open_latents(latents, on_latents(latents, "imagenet", "", dataset=dataset).parts)) == 2


@pytest.mark.parametrize("layout", [class_folders, table_of_paths])
def test_a_resumed_run_says_it(tmp_path: Path, layout: Any, caplog: pytest.LogCaptureFixture) -> None:
    dataset, file = layout(tmp_path / "data")
    settings = config("imagenet", "", dataset=dataset, train={"steps": 2, "batch_size": 2})
    Run(build_pipeline(settings), tmp_path / "run").train()
    exchange(file)
    with caplog.at_level(logging.WARNING):
        record.resumed_record(tmp_path / "run", build_pipeline(settings).parts, 2, "fp32")
    assert "Files of the training split have changed since the run started (names, sizes or contents)." in caplog.text
