"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core import NanoGenError, Pipeline
from nanogen_core.testing import PluginContract
from nanogen_scaffold import small_pipeline
from nanogen_train.testing import StageContract

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.stage import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def pipeline() -> Pipeline:
    return small_pipeline("imagenet", stage="placeholder")


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(StageContract):
    pass


def test_auxiliary_losses_are_refused(pipeline: Pipeline) -> None:
    config = PlaceholderConfig()
    with pytest.raises(NanoGenError, match="remove repa"):
        Placeholder(config, pipeline=pipeline, auxiliaries={"repa": None})
