"""The manifest and the component pass the contracts of NanoGen."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch
from nanogen_core.testing import PluginContract
from nanogen_eval.pixels import on_grid
from nanogen_eval.testing import MetricContract

from nanogen_placeholder.config import PlaceholderConfig
from nanogen_placeholder.metric import Placeholder


@pytest.fixture
def manifest() -> str:
    return "nanogen_placeholder.plugin"


@pytest.fixture
def build() -> partial[Placeholder]:
    return partial(Placeholder, PlaceholderConfig())


@pytest.fixture
def examples() -> Batch:
    noise = KeyedRNG(0, range(8)).uniform("images", (3, 16, 16)) * 2 - 1
    scales = torch.linspace(0, 1, 8)[:, None, None, None]  # of a uniform image up to full contrast
    return Batch(torch.arange(8), images=on_grid(noise * scales))


class TestPlugin(PluginContract):
    pass


class TestPlaceholder(MetricContract):
    tolerance = 1e-9


def test_black_and_white_halves_have_contrast_one_half(build: partial[Placeholder]) -> None:
    images = torch.ones(1, 3, 4, 4)
    images[:, :, :2] = -1
    metric = build()
    metric.update(images, Batch(torch.arange(1)))
    assert metric.compute() == {"contrast": pytest.approx(0.5), "uniform": 0.0}
