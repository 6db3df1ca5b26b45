"""Latents of several roots, and of several captions with probabilities, give the batches of training on images."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from precomputed_data import config, picture, png

from nanogen_core import build_pipeline
from nanogen_core.config import resolve
from nanogen_core.errors import DataError, TrainingError
from nanogen_core.tensors import Batch
from nanogen_data.mixture import mixing_of
from nanogen_data.precomputed import training
from nanogen_data.precomputed.prepare import Options, prepare
from nanogen_data.precomputed.sources import with_source
from nanogen_train.trainer import cache, record
from nanogen_train.trainer.loop import Run


@pytest.fixture
def roots(tmp_path: Path) -> list[dict[str, Any]]:
    """Two roots of class folders, of 6 and 3 pictures."""
    for place, count in (("a", 2), ("b", 1)):
        for label in ("n01", "n02", "n03"):
            (tmp_path / place / "train" / label).mkdir(parents=True)
            for number in range(count):
                picture(10 * number + int(label[1:])).save(tmp_path / place / "train" / label / f"{number}.png")
    return [{"path": str(tmp_path / "a"), "weight": 1.0}, {"path": str(tmp_path / "b"), "weight": 2.0}]


def settings(roots: list[dict[str, Any]], **train: Any) -> dict[str, Any]:
    raw = config("imagenet", "", train=train)
    return {**raw, "dataset": {"name": "imagenet-folder", "roots": roots}}


def test_latents_of_roots_are_drawn_as_the_images(tmp_path: Path, roots: list[dict[str, Any]]) -> None:
    folder = tmp_path / "latents"
    manifest = prepare(resolve(settings(roots)), folder, Options(shard_size=4, batch_size=4))
    assert manifest.source["roots"] == [6, 3]
    parts = build_pipeline(settings(roots)).parts
    images = islice(parts["task"].batches("train", 6, seed=5, start=2), 5)
    for latents, expected in zip(training.batches(folder, parts, 6, seed=5, start=2), images, strict=False):
        assert latents.indices.tolist() == expected.indices.tolist()
        assert latents.labels.tolist() == expected.labels.tolist()  # type: ignore[union-attr]

    heavier = [{**roots[0], "weight": 5.0}, roots[1]]  # weights may change without another `prepare`
    parts = build_pipeline(settings(heavier)).parts
    ours = next(training.batches(folder, parts, 9)).indices.tolist()
    assert ours == next(parts["task"].batches("train", 9)).indices.tolist()

    with pytest.raises(DataError, match=r"prepared from 2 roots, but `dataset.roots` has 0|roots had \[6, 3\]"):
        next(training.batches(folder, build_pipeline(config("imagenet", roots[0]["path"])).parts, 6))
    (tmp_path / "b/train/n01/0.png").rename(tmp_path / "b/train/n01/1.png")
    with pytest.raises(DataError, match="the data files have other names or sizes"):
        next(training.batches(folder, build_pipeline(settings(roots)).parts, 6))


def test_roots_may_move_separately(tmp_path: Path, roots: list[dict[str, Any]]) -> None:
    prepare(resolve(settings(roots)), tmp_path / "latents", Options())
    before = next(training.batches(tmp_path / "latents", build_pipeline(settings(roots)).parts, 6))
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    moved = (tmp_path / "b").rename(tmp_path / "elsewhere/deep/b")
    parts = build_pipeline(settings([roots[0], {"path": str(moved), "weight": 2.0}])).parts
    after = next(training.batches(tmp_path / "latents", parts, 6))
    assert torch.equal(before.indices, after.indices)
    assert torch.equal(before.latents, after.latents)


def test_the_record_of_a_run_holds_the_shares(roots: list[dict[str, Any]]) -> None:
    data = record.data_of(build_pipeline(settings(roots)).parts)
    assert data["examples"] == 9
    shares = [(root["examples"], root["weight"], root["draws"], root["share"]) for root in data["roots"]]
    assert shares == [(6, 1.0, 3, 1 / 3), (3, 2.0, 6, 2 / 3)]


def test_cached_latents_are_drawn_as_the_images(roots: list[dict[str, Any]]) -> None:
    task = build_pipeline(settings(roots)).task
    split = Batch(indices=torch.arange(9))
    mixing = mixing_of(task.reading("train").examples)
    cached = islice(cache.loader(split, 6, seed=5, start=2, mixing=mixing), 5)
    for ours, expected in zip(cached, task.batches("train", 6, seed=5, start=2), strict=False):
        assert ours.indices.tolist() == expected.indices.tolist()


def test_a_resumed_run_may_move_roots_and_keeps_their_weights(tmp_path: Path, roots: list[dict[str, Any]]) -> None:
    steps = {"steps": 1, "sample_every": 0, "checkpoint_every": 1, "cache_latents": True}
    Run(build_pipeline(settings(roots, **steps)), tmp_path / "run").train()
    moved = [roots[0], {"path": str((tmp_path / "b").rename(tmp_path / "c")), "weight": 2.0}]
    Run(build_pipeline(settings(moved, **{**steps, "steps": 2})), tmp_path / "run", resume=True).train()
    for other in ([moved[0], {**moved[1], "weight": 3.0}], moved[::-1], moved[:1]):
        with pytest.raises(TrainingError, match=r"dataset\.roots was "):
            Run(build_pipeline(settings(other, **{**steps, "steps": 3})), tmp_path / "run", resume=True).train()


def test_the_source_of_roots_is_the_name_of_the_dataset(tmp_path: Path, roots: list[dict[str, Any]]) -> None:
    raw = settings(roots)
    assert len(with_source(raw, "imagenet-folder").slots["dataset"].config.roots) == 2
    with pytest.raises(DataError, match="Give imagenet-folder to prepare all roots"):
        with_source(raw, roots[0]["path"])


def test_latents_of_weighted_captions_use_the_captions_of_the_images(tmp_path: Path) -> None:
    import webdataset

    (tmp_path / "train").mkdir()
    with webdataset.TarWriter(str(tmp_path / "train/0.tar")) as tar:
        for number in range(12):
            alt = {} if number == 3 else {"alt": b"another text"}
            tar.write({"__key__": f"{number:03d}", "png": png(number), "txt": "a dog", **alt})
    raw = config("t2i", tmp_path)
    raw["dataset"]["captions"] = {"txt": 0.3, "alt": 0.7}
    folder = tmp_path / "latents"
    prepare(resolve(raw), folder, Options())
    parts = build_pipeline(raw).parts
    images = islice(parts["task"].batches("train", 6), 6)
    texts: list[str] = []
    for latents, expected in zip(training.batches(folder, parts, 6), images, strict=False):
        assert latents.captions == expected.captions
        texts += latents.captions or ()
        tokens = parts["conditioner"].encode(expected)
        assert latents.condition is not None
        counts = latents.condition.mask.sum(1)  # type: ignore[union-attr]
        assert counts.tolist() == tokens.mask.sum(1).tolist()
    assert set(texts) == {"a dog", "another text"}
    raw["dataset"]["captions"] = {"txt": 0.4, "alt": 0.6}
    with pytest.raises(DataError, match=r"source\.captions\.txt was 0\.3 and is now 0\.4"):
        next(training.batches(folder, build_pipeline(raw).parts, 6))
