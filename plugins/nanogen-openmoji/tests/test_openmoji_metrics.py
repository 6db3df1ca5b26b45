"""The two judges hold the contract of metrics, on real drawings of which some are asked for wrongly."""

import pytest
import torch

from nanogen_core.tensors import Batch
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract
from nanogen_openmoji.dataset import OpenMoji
from nanogen_openmoji.metrics import Accuracy, Scenes
from nanogen_openmoji.settings import OpenMojiConfig

DATASET = OpenMoji(OpenMojiConfig(train=9, val=9))
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
