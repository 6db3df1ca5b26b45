"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core.testing import GuidanceContract, PluginContract

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.guidance import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def guidance() -> Placeholder:
    return Placeholder(PlaceholderConfig(scale=3.0))


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(GuidanceContract):
    pass
