"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core.testing import ObjectiveContract, PluginContract

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.objective import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def objective() -> Placeholder:
    return Placeholder(PlaceholderConfig())


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(ObjectiveContract):
    predicts = "velocity"
