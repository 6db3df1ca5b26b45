"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core.testing import PluginContract, TaskContract
from nanogen_data.testing.fakes import TinyDataset, TinyTexts, TinyTextsConfig

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.task import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def task() -> Placeholder:
    config = PlaceholderConfig()
    return Placeholder(config, image_size=16, dataset=TinyDataset())


@pytest.fixture
def conditioner() -> TinyTexts:
    return TinyTexts(TinyTextsConfig())


@pytest.fixture
def requests() -> list[str]:
    return ["a red square", "two cats"]


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(TaskContract):
    pass
