"""Captions that are kept out of the scenes, and the scores that look at them alone."""

import pytest
import torch

from nanogen_core.errors import ConfigError
from nanogen_core.tensors import Batch
from nanogen_files.structure import structure
from nanogen_openmoji.dataset import OpenMoji
from nanogen_openmoji.distance import Frechet
from nanogen_openmoji.metrics import Scenes
from nanogen_openmoji.settings import OpenMojiConfig

KEPT_OUT = OpenMoji(OpenMojiConfig(train=3000, val=64, hold_out=5))


def test_what_is_held_out_is_asked_and_never_shown():
    held_out, asked = KEPT_OUT.world.held_out, KEPT_OUT.prompts()
    assert held_out <= set(asked)
    assert 0.15 < len(held_out) / len(set(asked)) < 0.25
    drawn = KEPT_OUT.open("train", 8, "captions").__getitems__(range(3000))
    shown = {example.caption for example in drawn}
    assert not shown & held_out
    assert {f"a {name}" for name in ("dog", "cat")} <= shown  # no plain one is held out
    for word in ("left of", "right of", "above", "below", "two", "three", "four", "red"):
        assert any(word in text for text in held_out)
        assert any(word in text for text in shown)  # every word is known


def test_by_default_nothing_is_held_out():
    assert OpenMoji(OpenMojiConfig()).world.held_out == frozenset()


@pytest.mark.parametrize("wrong", [1, -1, 0.5])
def test_a_wrong_number_is_a_sentence(wrong):
    with pytest.raises(ConfigError, match="hold_out"):
        structure({"hold_out": wrong}, OpenMojiConfig, "dataset")


def test_the_unseen_mean_is_over_held_out_captions_alone():
    """Real drawings of seen captions, grey pictures for unseen ones: nothing is there."""
    seen = KEPT_OUT.open("val", 64, "captions").__getitems__(range(8))
    unseen = sorted(KEPT_OUT.world.held_out)[:8]
    images = torch.cat([torch.stack([one.image for one in seen]), torch.zeros(8, 3, 64, 64)])
    metric = Scenes(dataset=KEPT_OUT)
    metric.update(images, Batch(torch.arange(16), captions=[*(one.caption for one in seen), *unseen]))
    scores = metric.compute()
    assert scores["scenes_unseen"] == 0
    assert scores["scenes"] > 0.3
    skills = [scores[name] for name in ("presence", "colour", "count", "position") if name in scores]
    assert scores["scenes"] == pytest.approx(sum(skills) / len(skills))
    assert "scenes_unseen" not in metric.resampled(torch.arange(8))


class Task:
    """What the distance asks of a task."""

    def eval_batch(self, count):
        return Batch(torch.arange(count), labels=torch.zeros(count, dtype=torch.int64))


def test_the_distance_is_to_drawings_of_one_size_whatever_the_pictures_have():
    metric = Frechet(task=Task(), dataset=KEPT_OUT)
    drawn = KEPT_OUT.open("val", 64, "labels").__getitems__(range(64))
    metric.update(torch.stack([one.image for one in drawn]), Batch(torch.arange(64)))
    assert metric.compute()["frechet"] == pytest.approx(0, abs=1e-6)  # they are the reference themselves
    small = KEPT_OUT.open("val", 32, "labels").__getitems__(range(64))
    metric.reset()
    metric.update(torch.stack([one.image for one in small]), Batch(torch.arange(64)))
    assert 0 < metric.compute()["frechet"] < 5  # a little blur, and the same drawings
    metric.reset()
    assert metric.compute() == {}
