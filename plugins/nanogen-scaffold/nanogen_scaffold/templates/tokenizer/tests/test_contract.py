"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
from nanogen_core.testing import PluginContract, TokenizerContract

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.tokenizer import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def tokenizer() -> Placeholder:
    return Placeholder(PlaceholderConfig())


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(TokenizerContract):
    reconstruction = 1e-6
    variance = (0.3, 2.0)
