"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

import pytest
import torch
from nanogen_core.tensors import Batch
from nanogen_core.testing import ConditionerContract, PluginContract

from nanogen_placeholder.conditioner import Placeholder
from nanogen_placeholder.config import PlaceholderConfig


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def conditioner() -> Placeholder:
    return Placeholder(PlaceholderConfig(), classes=("apple", "boat", "cat"))


class TestPlugin(PluginContract):
    pass


class TestCaptions(ConditionerContract):
    @pytest.fixture
    def batch(self) -> Batch:
        return Batch(torch.arange(3), captions=["an apple", "two boats", "a cat"])


class TestLabels(ConditionerContract):
    @pytest.fixture
    def batch(self) -> Batch:
        return Batch(torch.arange(3), labels=torch.tensor([2, 0, 1]))
