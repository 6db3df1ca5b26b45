"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core import Pipeline
from nanogen_core.testing import PluginContract
from nanogen_scaffold import small_pipeline
from nanogen_train.testing import AuxiliaryContract

from nanogen_placeholder.auxiliary import Placeholder
from nanogen_placeholder.config import PlaceholderConfig


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def pipeline() -> Pipeline:
    return small_pipeline("imagenet", auxiliary={"placeholder": {"below": 1.0}})


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(AuxiliaryContract):
    pass


def test_options() -> None:
    assert Placeholder(PlaceholderConfig(weight=0.5)).config.weight == 0.5
