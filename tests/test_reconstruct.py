"""A tokenizer is judged by real images that went through it and back, each beside its original."""

import json

import pytest
import torch
from click.testing import CliRunner

from nanogen_core.cli.main import cli
from nanogen_core.errors import DataError
from nanogen_core.pipeline import build_pipeline
from nanogen_eval.pixels import on_grid
from nanogen_eval.sources.reconstructed import ORIGINAL, Reconstructed

CONFIG = {
    "task": "imagenet",
    "method": "vae",
    "dataset": {"name": "openmoji", "train": 16, "val": 20},
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
}


@pytest.fixture(scope="module")
def pipeline():
    return build_pipeline(CONFIG)


@pytest.fixture(scope="module")
def saved(pipeline, tmp_path_factory):
    return pipeline.save(tmp_path_factory.mktemp("saved"))


def test_images_go_through_the_tokenizer_and_keep_their_originals(pipeline):
    source = Reconstructed(pipeline, 20)
    (batch,) = source.read([range(20)])
    real = on_grid(next(pipeline.task.iter_once("val", 20)).images)
    assert batch.extras[ORIGINAL].equal(real)
    decoded = on_grid(pipeline.tokenizer.decode(pipeline.tokenizer.encode(real)))
    assert (batch.images - decoded).abs().max() < 2.1 / 127.5  # one step of 8 bits, where rounding falls otherwise
    assert not batch.images.equal(real)


def test_any_part_is_that_part_of_the_whole(pipeline):
    source = Reconstructed(pipeline, 20)
    (whole,) = source.read([range(20)])
    for batch in source.read([range(2, 5), range(9, 16)]):
        assert batch.extras[ORIGINAL].equal(whole.extras[ORIGINAL][batch.indices])
        torch.testing.assert_close(batch.images, whole.images[batch.indices], rtol=0, atol=2.1 / 127.5)


def test_more_than_there_are_is_said(pipeline):
    with pytest.raises(DataError, match=r"'val' ends before image 24: say with --count"):
        list(Reconstructed(pipeline, 30).read([range(16), range(16, 24)]))


def test_the_command_gives_the_scores_of_a_tokenizer(saved):
    pytest.importorskip("nanogen_fidelity")
    words = ["evaluate", str(saved), "--reconstruct", "--count", "20", "--batch-size", "7", "--json"]
    words += ["--metrics", "psnr,rfid", "--set", "metric.rfid.features=openmoji-classifier"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    scores = {score["metric"]: score for score in json.loads(done.stdout)}
    pipeline = build_pipeline(CONFIG)
    real = on_grid(next(pipeline.task.iter_once("val", 20)).images)
    decoded = on_grid(pipeline.tokenizer.decode(pipeline.tokenizer.encode(real)))
    error = ((decoded - real) / 2).square().mean(dim=(1, 2, 3))
    assert scores["psnr"]["value"] == pytest.approx(float((-10 * error.log10()).mean()), rel=1e-3)
    assert scores["rfid"]["value"] > 0
    assert scores["psnr"]["settings"]["reconstruction"] == "val"
    assert "notes" in scores["rfid"]["about"]  # twenty images are few for 128 features


def test_sampling_has_no_part_in_it(saved):
    words = ["evaluate", str(saved), "--reconstruct", "--steps", "3", "--metrics", "psnr"]
    done = CliRunner().invoke(cli, words)
    assert "--steps belongs to a model's samples" in str(done.exception)


def test_rfid_of_two_processes_is_that_of_one(pipeline):
    pytest.importorskip("nanogen_fidelity")
    from nanogen_core.building import build_named

    (batch,) = Reconstructed(pipeline, 20).read([range(20)])
    whole, first, second = (build_named("metric", {"name": "rfid", "features": "openmoji-classifier"}) for _ in "abc")
    whole.update(batch.images, batch)
    for metric, part in ((first, batch.part(0, 7)), (second, batch.part(7, 20))):
        metric.update(part.images, part)
    first.merge(second.state())
    assert first.compute()["rfid"] == pytest.approx(whole.compute()["rfid"], rel=1e-6)
    first.reset()
    assert first.compute() == {}
    with pytest.raises(DataError, match="rfid needs the original images"):
        first.update(batch.images, batch._replace(extras={}))
