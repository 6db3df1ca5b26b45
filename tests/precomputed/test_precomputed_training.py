"""Training on precomputed latents sees the same examples, flips, captions and losses as training on images."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import pytest
import torch
import webdataset
from precomputed_data import config, on_latents, picture, png, resolved

from nanogen_core import ConditionSpec, build_pipeline
from nanogen_core.errors import DataError, TrainingError
from nanogen_core.tensors import Condition, Losses
from nanogen_data.loader import Example, Reading, loader
from nanogen_data.precomputed import training
from nanogen_data.precomputed.encoding import Encoder
from nanogen_data.precomputed.members import unpack
from nanogen_data.precomputed.prepare import Options, prepare
from nanogen_data.testing.fakes import TinyTexts, TinyTextsConfig, TinyTokenizer, TinyTokenizerConfig
from nanogen_train import Auxiliary
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.image_readers import refuse_image_readers
from nanogen_train.trainer.loop import Run

SMALL = Options(shard_size=5, batch_size=4)


def losses(pipeline, folder: Path) -> list[float]:
    Run(pipeline, folder).train()
    return [entry["loss"] for entry in metrics_log.read(folder)]


def both(folder: Path, task: str, root: Path, count: int, **over):
    """The first batches of pixels, and of latents, of one configuration."""
    pipeline = build_pipeline(config(task, root, **over))
    pixels = pipeline.task.batches("train", 6, seed=3)
    latents = training.batches(folder, pipeline.parts, 6, seed=3)
    return pipeline, list(zip(islice(pixels, count), islice(latents, count), strict=True))


def test_labels_latents_and_flips_are_those_of_the_pixels(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    pipeline, pairs = both(tmp_path / "latents", "imagenet", folders, 9)  # three epochs
    mirrored = 0
    for pixels, latents in pairs:
        assert torch.equal(pixels.indices, latents.indices)
        assert torch.equal(pixels.labels, latents.labels)
        assert latents.images is None
        torch.testing.assert_close(latents.latents, pipeline.tokenizer.encode(pixels.images), rtol=1e-6, atol=1e-6)
        other = pipeline.tokenizer.encode(pixels.images.flip(-1))
        mirrored += int((latents.latents - other).abs().flatten(1).amax(1).lt(1e-5).sum())
    assert mirrored == 0  # a picture and its mirror image have other latents, so the flips were told apart


def test_captions_and_their_encodings_are_those_of_the_pixels(tars: Path, tmp_path: Path) -> None:
    prepare(resolved("t2i", tars), tmp_path / "latents", SMALL)
    pipeline, pairs = both(tmp_path / "latents", "t2i", tars, 5)
    for pixels, latents in pairs:
        assert list(pixels.captions) == list(latents.captions)
        torch.testing.assert_close(latents.latents, pipeline.tokenizer.encode(pixels.images), rtol=1e-6, atol=1e-6)
        fresh, kept = pipeline.conditioner.encode(pixels), latents.condition
        assert torch.equal(fresh.mask, kept.mask)
        assert not fresh.mask.all()
        torch.testing.assert_close(kept.tokens, fresh.tokens, rtol=1e-5, atol=1e-5)


def test_one_of_several_captions_is_the_one_that_pixels_have(tmp_path: Path) -> None:
    for split, numbers in (("train", range(12)), ("val", range(2))):
        path = tmp_path / "tars" / split / "0.tar"
        path.parent.mkdir(parents=True)
        with webdataset.TarWriter(str(path)) as tar:
            for number in numbers:
                lines = "".join(
                    f"a {word} of picture {number}\n" for word in ("view", "sketch", "photo")[: 1 + number % 3]
                )
                tar.write({"__key__": f"{number:03d}", "png": png(number), "txt": lines})
    root = tmp_path / "tars"
    dataset = {"name": "webdataset", "root": str(root), "caption_lines": True}
    prepare(resolved("t2i", root, dataset=dataset), tmp_path / "latents", SMALL)
    pipeline, pairs = both(tmp_path / "latents", "t2i", root, 10, dataset=dataset)  # five epochs
    seen: dict[int, set[str]] = {}
    for pixels, latents in pairs:
        assert list(pixels.captions) == list(latents.captions)
        fresh, kept = pipeline.conditioner.encode(pixels), latents.condition
        torch.testing.assert_close(kept.tokens, fresh.tokens, rtol=1e-5, atol=1e-5)
        for index, caption in zip(pixels.indices.tolist(), pixels.captions, strict=True):
            seen.setdefault(index, set()).add(caption)
    assert max(map(len, seen.values())) > 1
    assert all(len(captions) == 1 for index, captions in seen.items() if index % 3 == 0)


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_run_on_latents_has_the_losses_of_one_on_pixels(task: str, request, tmp_path: Path) -> None:
    root = request.getfixturevalue({"imagenet": "folders", "t2i": "tars"}[task])
    prepare(resolved(task, root), tmp_path / "latents", SMALL)
    plain = losses(build_pipeline(config(task, root)), tmp_path / "pixels")
    prepared = losses(on_latents(tmp_path / "latents", task, root), tmp_path / "run")
    assert prepared == pytest.approx(plain, rel=1e-6)
    assert len(set(plain)) == 8


def test_no_caption_is_encoded_again(tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(resolved("t2i", tars), tmp_path / "latents", SMALL)
    pipeline = on_latents(tmp_path / "latents", "t2i", tars)
    asked: list[str] = []
    encode = pipeline.parts["encoder"].encode
    monkeypatch.setattr(pipeline.parts["encoder"], "encode", lambda texts, n: asked.extend(texts) or encode(texts, n))
    run = Run(pipeline, tmp_path / "run")
    run._one_step(next(run._batches()))
    assert asked == []


def test_an_empty_caption_has_no_token_there_either() -> None:
    parts = {"tokenizer": TinyTokenizer(TinyTokenizerConfig()), "conditioner": TinyTexts(TinyTextsConfig(length=6))}
    captions = ["", "cat", "", ""]
    examples = [Example(torch.full((3, 16, 16), 0.1 * n), caption=text) for n, text in enumerate(captions)]
    encoding = Encoder(parts, Reading(examples, None), variants=1, dtype="float32", batch_size=4)
    kept = [unpack(bytearray(member)) for _, member in encoding.members(range(4))]
    assert [len(example.states) for example in kept] == [0, 3, 0, 0]
    for rows in ([0, 1], [0, 2, 3]):  # beside a longer one, and where no caption of a batch has a token
        batch = next(loader([kept[row] for row in rows], len(rows), transform=lambda image, number: image))
        fresh = parts["conditioner"].encode(batch)
        found = batch.condition.padded(fresh.tokens.shape[1])
        assert torch.equal(found.mask, fresh.mask)
        assert torch.equal(found.tokens * found.mask[..., None], fresh.tokens * fresh.mask[..., None])


def test_states_of_a_null_text_with_a_token_are_refused(tars: Path, tmp_path: Path) -> None:
    """As they were prepared before: the manifest did not say so."""
    latents = tmp_path / "latents"
    prepare(resolved("t2i", tars), latents, SMALL)
    facts = json.loads((latents / "manifest.json").read_text())
    assert facts["identity"]["text"].pop("null_tokens") == 0
    del facts["sha256"]  # which those manifests did not have
    (latents / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(
        DataError, match=r"do not match this configuration: text\.null_tokens was None and is now 0\. Undo"
    ):
        training.open_latents(latents, on_latents(latents, "t2i", tars).parts)


def test_corrupt_samples_are_replaced_as_on_pixels(folders: Path, tmp_path: Path) -> None:
    for name in ("n01/2.png", "n02/0.png", "n03/5.png"):
        (folders / "train" / name).write_bytes(b"no picture")
    generous = {"dataset": {"name": "imagenet-folder", "root": str(folders), "max_corrupt": 0.5}}
    found = prepare(resolved("imagenet", folders, **generous), tmp_path / "latents", SMALL)
    assert found.skipped == {"unknown format": 3}
    pipeline, pairs = both(tmp_path / "latents", "imagenet", folders, 9, **generous)
    for pixels, latents in pairs:
        assert torch.equal(pixels.indices, latents.indices)
        torch.testing.assert_close(latents.latents, pipeline.tokenizer.encode(pixels.images), rtol=1e-6, atol=1e-6)


def test_the_images_need_not_be_there(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    plain = losses(build_pipeline(config("imagenet", folders)), tmp_path / "pixels")
    shutil.rmtree(folders)
    pipeline = on_latents(tmp_path / "latents", "imagenet", folders)
    assert losses(pipeline, tmp_path / "run") == pytest.approx(plain, rel=1e-6)
    assert pipeline.parts["classes"] == ("n01", "n02", "n03")


def test_a_resumed_run_on_latents_goes_on_where_it_was(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    pipeline = build_pipeline(config("imagenet", folders))
    whole = list(islice(training.batches(tmp_path / "latents", pipeline.parts, 6, seed=1), 7))
    later = list(islice(training.batches(tmp_path / "latents", pipeline.parts, 6, seed=1, start=4, num_workers=2), 3))
    for first, second in zip(whole[4:], later, strict=True):
        assert torch.equal(first.latents, second.latents)


def test_kept_in_half_precision_they_are_near(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", Options(shard_size=5, dtype="bfloat16"))
    pipeline, ((pixels, latents),) = both(tmp_path / "latents", "imagenet", folders, 1)
    exact = pipeline.tokenizer.encode(pixels.images)
    assert latents.latents.dtype == torch.float32
    assert torch.equal(latents.latents, exact.bfloat16().float())


# -- refusals -----------------------------------------------------------------------------------------------------


def refused(folder: Path, root: Path, words: str, **over) -> None:
    with pytest.raises(DataError, match=words):
        training.open_latents(folder, on_latents(folder, "imagenet", root, **over).parts)


def test_other_latents_are_refused_by_naming_both(folders: Path, tmp_path: Path) -> None:
    latents = tmp_path / "latents"
    prepare(resolved("imagenet", folders), latents, SMALL)
    refused(latents, folders, r"image_size was 16 and is now 32", image_size=32)
    refused(latents, folders, r"tokenizer was 'openmoji-vae' and is now 'pixel'", tokenizer="pixel")
    unflipped = build_pipeline(config("imagenet", folders, task={"name": "imagenet", "flip": False}))
    with pytest.raises(DataError, match=r"task\.flip was True and is now False"):
        training.open_latents(latents, unflipped.parts)
    pipeline = on_latents(latents, "imagenet", folders)
    with torch.no_grad():
        next(pipeline.tokenizer.parameters()).add_(1e-6)
    with pytest.raises(DataError, match=r"configuration: the tokenizer has other weights\. Undo"):
        training.open_latents(latents, pipeline.parts)


def test_another_text_encoder_is_refused(tars: Path, tmp_path: Path) -> None:
    prepare(resolved("t2i", tars), tmp_path / "latents", SMALL)
    other = on_latents(tmp_path / "latents", "t2i", tars, encoder={"name": "minilm", "max_length": 9})
    with pytest.raises(DataError, match=r"text\.max_length was 12 and is now 9; text\.length was 12"):
        training.open_latents(tmp_path / "latents", other.parts)


def test_other_images_are_refused(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    picture(1).save(folders / "train/n02/new.png")
    refused(
        tmp_path / "latents",
        folders,
        r"the data had 18 examples and now have 19; the data files have other names or sizes\. Restore",
    )


def test_what_is_not_whole_is_refused(folders: Path, tmp_path: Path) -> None:
    latents = tmp_path / "latents"
    with pytest.raises(
        DataError, match=r"latents contains no precomputed latents \(no manifest\.json\): create them with"
    ):
        on_latents(latents, "imagenet", folders)
    prepare(resolved("imagenet", folders), latents, SMALL)
    shard = latents / "shard-00001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-512])
    refused(latents, folders, rf"shard-00001\.tar has {len(whole) - 512} bytes, but the manifest says {len(whole)}")
    shard.unlink()
    refused(latents, folders, r"shard-00001\.tar is missing")
    shard.write_bytes(bytes(len(whole)))
    examples = training.open_latents(latents, on_latents(latents, "imagenet", folders).parts)
    with pytest.raises(
        DataError, match=r"shard-00001\.tar is corrupt .*SHA-256.*\. Restore it from a copy\. Or delete"
    ):
        examples[5]


def test_losses_that_read_images_are_refused(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    repa = {"repa": {"teacher": "openmoji-classifier", "block": 1}}
    pipeline = on_latents(tmp_path / "latents", "imagenet", folders, auxiliary=repa)
    with pytest.raises(TrainingError, match=r"`train\.precomputed_latents` contains no images, .* repa\. Remove"):
        refuse_image_readers(pipeline)


class OfLatents(Auxiliary):
    """A loss that reads no image."""

    def loss(self, forward_pass, clean, batch, nets, rng):
        return Losses(forward_pass.denoised.latent.square().mean())


def test_a_loss_that_reads_no_image_trains_on_latents(folders: Path, tmp_path: Path) -> None:
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    pipeline = on_latents(tmp_path / "latents", "imagenet", folders, auxiliary=OfLatents())
    Run(pipeline, tmp_path / "run").train()
    assert "OfLatents" in metrics_log.read(tmp_path / "run")[0]


class ImageTokens:
    """A conditioner whose two tokens are the mean colours of the left and the right half of the image."""

    needs_images = True
    spec = ConditionSpec(width=3, length=2)

    def __init__(self, config, *, classes):
        pass

    def encode(self, batch):
        return Condition(torch.stack([half.mean(dim=(2, 3)) for half in batch.images.chunk(2, dim=3)], dim=1))

    def null(self, count):
        return Condition(torch.zeros(count, 2, 3))


def test_conditions_made_of_images_are_those_of_the_pixels(folders: Path, tmp_path: Path, monkeypatch) -> None:
    """A flip exchanges the tokens, so every variant has its own condition."""
    monkeypatch.setattr("nanogen_imagenet.label.Label", ImageTokens)
    prepare(resolved("imagenet", folders), tmp_path / "latents", SMALL)
    pipeline, pairs = both(tmp_path / "latents", "imagenet", folders, 9)
    for pixels, latents in pairs:
        expected = pipeline.conditioner.encode(pixels).tokens
        torch.testing.assert_close(latents.condition.tokens, expected, rtol=1e-5, atol=1e-5)
        assert (expected[:, 0] - expected[:, 1]).abs().max() > 0.01
    on_pixels = losses(build_pipeline(config("imagenet", folders)), tmp_path / "pixels")
    stored = losses(on_latents(tmp_path / "latents", "imagenet", folders), tmp_path / "run")
    assert stored == pytest.approx(on_pixels, rel=1e-4)
