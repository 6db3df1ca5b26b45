"""The metrics hold the contract of metrics, on real drawings of which some are asked for wrongly."""

import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from nanogen_core.errors import ConfigError, UnknownName
from nanogen_core.tensors import Batch
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract
from nanogen_files.structure import structure
from nanogen_openmoji.dataset import OpenMoji
from nanogen_openmoji.distance import Frechet, Kid
from nanogen_openmoji.features import ClassifierFeatures
from nanogen_openmoji.metrics import Accuracy, Scenes
from nanogen_openmoji.settings import DistanceConfig, OpenMojiConfig

DATASET = OpenMoji(OpenMojiConfig(train=9, val=9))
OTHER = OpenMoji(OpenMojiConfig(train=9, val=9, seed=1))
WRONG = [0, 4, 7]  # these are asked for what their neighbours show


def examples_of(view):
    drawn = DATASET.open("val", 64, view).__getitems__(range(9))
    asked = [drawn[row + 1] if row in WRONG else drawn[row] for row in range(9)]
    return Batch(
        indices=torch.arange(9),
        images=on_grid(torch.stack([example.image for example in drawn])),
        labels=torch.tensor([example.label for example in asked]) if view == "labels" else None,
        captions=[example.caption for example in asked] if view == "captions" else None,
    )


class TestAccuracy(MetricContract):
    @pytest.fixture
    def build(self):
        return Accuracy

    @pytest.fixture
    def examples(self):
        return examples_of("labels")


class TestScenes(MetricContract):
    @pytest.fixture
    def build(self):
        return lambda: Scenes(dataset=DATASET)

    @pytest.fixture
    def examples(self):
        return examples_of("captions")


class Labelled:
    """The part of a task that the distances use."""

    def eval_batch(self, count):
        return Batch(torch.arange(count), labels=torch.zeros(count, dtype=torch.int64))


class TestFrechet(MetricContract):
    @pytest.fixture
    def build(self):
        return lambda: Frechet(task=Labelled(), dataset=OTHER)

    @pytest.fixture
    def examples(self):
        return examples_of("labels")


class TestKid(TestFrechet):
    @pytest.fixture
    def build(self):
        return lambda: Kid(task=Labelled(), dataset=OTHER)


def test_kid_agrees_with_sklearns_kernel_of_the_same_features():
    """The unbiased squared MMD of (x'y / D + 1)^3 (arXiv 1801.01401), between five drawings and nine."""
    metric = Kid(task=Labelled(), dataset=DATASET)
    images = torch.stack([one.image for one in DATASET.open("val", 64, "labels").__getitems__(range(9))])
    metric.update(images[:5], Batch(torch.arange(5)))
    features = ClassifierFeatures()
    x, y = features(images[:5]).double(), features(images).double()
    xx, yy, xy = (polynomial_kernel(a, b, degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    off = [(kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1)) for kernel in (xx, yy)]
    assert metric.compute() == {"kid": pytest.approx(sum(off) - 2 * xy.mean(), rel=1e-6)}


@pytest.mark.parametrize("wrong", [3, None])
def test_features_must_be_named(wrong):
    with pytest.raises(ConfigError, match="features"):
        structure({"features": wrong}, DistanceConfig, "metric.openmoji-kid")


def test_an_unknown_space_is_a_sentence():
    with pytest.raises(UnknownName, match="'openmoji-clasifier'"):
        Kid(DistanceConfig(features="openmoji-clasifier"), task=Labelled(), dataset=DATASET)
