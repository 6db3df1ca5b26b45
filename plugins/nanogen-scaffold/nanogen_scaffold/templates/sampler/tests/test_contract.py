"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core.testing import PluginContract, SamplerContract

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.sampler import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def sampler() -> Placeholder:
    return Placeholder(PlaceholderConfig())


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(SamplerContract):
    order = 2  # doubling the steps divides the error by four
