"""The fakes hold every contract, used as an author uses it: a fixture, and subclasses that are (nearly) empty."""

from functools import partial

import pytest

from nanogen_core.testing import (
    BackboneContract,
    ConditionerContract,
    ObjectiveContract,
    PluginContract,
    TaskContract,
    TokenizerContract,
)
from nanogen_data.testing import fakes


@pytest.fixture
def manifest():
    return "nanogen_data.testing.fakes_plugin"


@pytest.fixture
def tokenizer():
    return fakes.TinyTokenizer(fakes.TinyTokenizerConfig())


@pytest.fixture
def build(request):
    return partial(fakes.TinyBackbone, fakes.TinyBackboneConfig(two_time="two-time" in request.cls.provides))


@pytest.fixture
def objective():
    return fakes.TinyFlow(fakes.TinyFlowConfig())


@pytest.fixture
def task():
    return fakes.TinyTask(dataset=fakes.TinyDataset(), image_size=16)


@pytest.fixture
def requests():
    return ["red", 1, "a blue square"]


@pytest.fixture
def batch(task, requests):
    return task.make_batch(requests)


class LabelsFixture:
    @pytest.fixture
    def conditioner(self):
        return fakes.TinyLabels(classes=fakes.TinyDataset.classes)


class TextsFixture:
    @pytest.fixture
    def conditioner(self):
        return fakes.TinyTexts(fakes.TinyTextsConfig())


class TestPlugin(PluginContract):
    installed = False


class TestTokenizer(TokenizerContract):
    variance = (0.3, 2.0)
    reconstruction = 1e-6


class TestBackbone(BackboneContract):
    provides = frozenset({"features", "jvp"})


class TestTwoTimeBackbone(BackboneContract):
    provides = frozenset({"features", "jvp", "two-time"})


class TestObjective(ObjectiveContract):
    pass


class TestLabels(LabelsFixture, ConditionerContract):
    pass


class TestTexts(TextsFixture, ConditionerContract):
    pass


class TestLabelTask(LabelsFixture, TaskContract):
    pass


class TestTextTask(TextsFixture, TaskContract):
    pass
