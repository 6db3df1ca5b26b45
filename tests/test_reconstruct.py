"""Evaluation of a tokenizer by reconstructions of validation images."""

import json

import pytest
import torch
from click.testing import CliRunner

from nanogen_core.cli.main import cli
from nanogen_core.errors import DataError, NanoGenError
from nanogen_core.pipeline import build_pipeline
from nanogen_core.tensors import Batch
from nanogen_eval.pixels import on_grid
from nanogen_eval.sources.reconstructed import ORIGINAL, Reconstructed
from nanogen_eval.targets import Reconstructions
from nanogen_openmoji.classifier import Classifier

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


def test_reconstructions_keep_their_original_images(pipeline):
    source = Reconstructed(pipeline, 20)
    (batch,) = source.read([range(20)])
    real = on_grid(next(pipeline.task.iter_once("val", 20)).images)
    assert batch.extras[ORIGINAL].equal(real)
    decoded = on_grid(pipeline.tokenizer.decode(pipeline.tokenizer.encode(real)))
    assert (batch.images - decoded).abs().max() < 2.1 / 127.5  # one 8-bit level, since rounding may differ
    assert not batch.images.equal(real)


def test_a_span_equals_the_same_rows_of_a_full_read(pipeline):
    source = Reconstructed(pipeline, 20)
    (full,) = source.read([range(20)])
    for batch in source.read([range(2, 5), range(9, 16)]):
        assert batch.extras[ORIGINAL].equal(full.extras[ORIGINAL][batch.indices])
        torch.testing.assert_close(batch.images, full.images[batch.indices], rtol=0, atol=2.1 / 127.5)


def test_more_images_than_the_split_has_is_an_error(pipeline):
    with pytest.raises(DataError, match=r"'val' has fewer than 24 images: lower --count"):
        list(Reconstructed(pipeline, 30).read([range(16), range(16, 24)]))


def test_the_command_evaluates_a_tokenizer(saved):
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
    assert "notes" in scores["rfid"]["about"]  # a warning that 20 images are few for 128 features


def test_sampling_options_are_refused_for_a_tokenizer(saved):
    words = ["evaluate", str(saved), "--reconstruct", "--steps", "3", "--metrics", "psnr"]
    done = CliRunner().invoke(cli, words)
    assert str(done.exception) == "This command samples no model, so it cannot use --steps. Remove it."


def test_rfid_of_merged_parts_equals_that_of_all_images(pipeline):
    pytest.importorskip("nanogen_fidelity")
    from nanogen_core.named_components import build_named

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


def test_reconstructions_keep_their_labels_and_captions(pipeline, saved):
    words = ["evaluate", str(saved), "--reconstruct", "--count", "20", "--json", "--metrics", "openmoji-accuracy"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    (batch,) = Reconstructed(pipeline, 20).read([range(20)])
    real = next(pipeline.task.iter_once("val", 20))
    right = Classifier.load().classify(batch.images) == real.labels
    assert batch.labels.equal(real.labels)
    assert json.loads(done.stdout)[0]["value"] == pytest.approx(float(right.double().mean()))

    texts = build_pipeline({**CONFIG, "task": "t2i"})
    batches = list(Reconstructed(texts, 20).read([range(8), range(8, 20)]))
    assert [text for each in batches for text in each.captions] == next(texts.task.iter_once("val", 20)).captions


def test_a_metric_with_its_own_prompts_refuses_reconstructions(pipeline):
    class OwnPrompts:
        def eval_batch(self):
            return Batch(torch.arange(2), captions=["a", "b"])

    with pytest.raises(NanoGenError, match="belong to its own prompts, so it cannot evaluate reconstructions"):
        list(Reconstructions(pipeline, 20).parts({"own": OwnPrompts()}, None))
