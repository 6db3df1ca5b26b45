"""The plugin's parts as the core uses them: dataset, tokenizer and metrics, on real drawings and scenes."""

import pytest
import torch

from nanogen_core import build_pipeline
from nanogen_core.errors import ConfigError, DataError, NanoGenError
from nanogen_core.tensors import Batch
from nanogen_openmoji.class_images import class_images
from nanogen_openmoji.dataset import OpenMoji
from nanogen_openmoji.metrics import Accuracy, Scenes, descriptions
from nanogen_openmoji.settings import OpenMojiConfig
from nanogen_openmoji.tokenizer import OpenMojiVAE


def all_of(examples):
    return examples.__getitems__(range(len(examples)))


def test_splits_and_seeds_are_different_pictures_of_the_same_classes():
    config = OpenMojiConfig(train=64, val=64)
    data = OpenMoji(config)
    train, val = (all_of(data.open(split, 32, "labels")) for split in ("train", "val"))
    assert [example.label for example in train] == [example.label for example in val] == list(range(64))
    assert not any(torch.equal(a.image, b.image) for a, b in zip(train, val, strict=True))
    other = OpenMoji(OpenMojiConfig(train=64, val=64, seed=1)).open("train", 32, "labels")
    assert not torch.equal(other[0].image, train[0].image)


def test_an_example_is_the_same_alone_and_among_others():
    for view in ("labels", "captions"):
        examples = OpenMoji(OpenMojiConfig(train=16)).open("train", 64, view)
        alone, among = examples[5], examples.__getitems__([2, 5, 9])[1]
        assert torch.equal(alone.image, among.image)
        assert (alone.label, alone.caption) == (among.label, among.caption)


def test_every_caption_of_data_and_prompts_can_be_read_back():
    data = OpenMoji(OpenMojiConfig(train=300))
    known = descriptions(data.world)
    assert {example.caption for example in all_of(data.open("train", 8, "captions"))} <= known.keys()
    assert set(data.prompts()) <= known.keys()
    first = data.prompts()[:4]  # one of each family
    assert ["two" in text for text in first].count(True) + ["left" in text for text in first].count(True) >= 1


def test_real_drawings_are_named_and_counted_once():
    metric = Accuracy()
    labels = torch.arange(64).repeat(2)
    images = class_images(labels, torch.arange(128), size=64, seed=77)
    metric.update(images[:100], Batch(torch.arange(100), labels=labels[:100]))
    metric.update(images[100:], Batch(torch.arange(28), labels=labels[100:]))
    assert metric.compute()["accuracy"] >= 0.98
    metric.reset()
    metric.update(images, Batch(torch.arange(128), labels=labels.roll(1)))  # every label is wrong
    assert metric.compute()["accuracy"] <= 0.02


def test_small_real_drawings_are_named_too():
    labels = torch.arange(64)
    metric = Accuracy()
    metric.update(class_images(labels, labels, size=32, seed=3), Batch(labels, labels=labels))
    assert metric.compute()["accuracy"] >= 0.95


def test_real_scenes_hold_and_swapped_captions_do_not():
    data = OpenMoji(OpenMojiConfig(val=256))
    examples = all_of(data.open("val", 64, "captions"))
    images = torch.stack([example.image for example in examples])
    captions = [example.caption for example in examples]
    metric = Scenes(dataset=data)
    metric.update(images, Batch(torch.arange(256), captions=captions))
    assert min(metric.compute().values()) >= 0.95
    metric.reset()
    metric.update(images, Batch(torch.arange(256), captions=captions[1:] + captions[:1]))
    assert max(metric.compute().values()) <= 0.3


def test_a_caption_that_is_none_of_its_own_is_said():
    metric = Scenes(dataset=OpenMoji(OpenMojiConfig()))
    with pytest.raises(NanoGenError, match="cannot read the caption 'a submarine'"):
        metric.update(torch.zeros(1, 3, 64, 64), Batch(torch.arange(1), captions=["a submarine"]))


def test_latents_are_normalised_and_sizes_are_checked():
    tokenizer = OpenMojiVAE()
    labels = torch.arange(64)
    latents = tokenizer.encode(class_images(labels, labels, size=64, seed=5))
    assert latents.shape[1:] == tokenizer.latent(64).shape
    assert abs(float(latents.mean())) < 0.1
    assert abs(float(latents.std()) - 1) < 0.15
    with pytest.raises(NanoGenError, match="multiple of 8 .*, got 65.*to 64 or 72"):
        tokenizer.latent(65)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: OpenMoji(OpenMojiConfig(objects=("apple", "dgo"))),
            ConfigError,
            "no class 'dgo'. Did you mean 'dog'",
        ),
        (lambda: OpenMoji(OpenMojiConfig(objects=("apple",))), ConfigError, "Give at least two"),
        (
            lambda: OpenMoji(OpenMojiConfig(objects=("apple", "apple"))),
            ConfigError,
            "dataset.objects: 'apple' occurs more than once. Name each object once",
        ),
        (
            lambda: OpenMoji(OpenMojiConfig()).open("test", 64, "labels"),
            DataError,
            "no split 'test'. Use one of: train",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_evaluating_twice_counts_once():
    from nanogen_eval import evaluate_pipeline

    pipeline = build_pipeline(
        task="imagenet",
        method="vae",
        dataset={"name": "openmoji", "val": 64},
        tokenizer="openmoji-vae",
        backbone={"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        sampler={"name": "euler", "steps": 1},
    )
    assert evaluate_pipeline(pipeline, 64) == evaluate_pipeline(pipeline, 64)
    assert pipeline.task.metrics()["openmoji-accuracy"].units == 64
