"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

from functools import partial

import pytest
from nanogen_core.testing import BackboneContract, PluginContract

from nanogen_placeholder.backbone import Placeholder
from nanogen_placeholder.config import PlaceholderConfig


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def build() -> partial[Placeholder]:
    return partial(Placeholder, PlaceholderConfig(width=32, depth=2, heads=2))


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(BackboneContract):
    provides = frozenset({"features"})
