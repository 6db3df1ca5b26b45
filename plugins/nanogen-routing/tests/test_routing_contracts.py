"""The manifest and the backbones pass their contracts."""

from __future__ import annotations

from functools import partial

import pytest

from nanogen_core.testing import BackboneContract, GuidanceContract, PluginContract
from nanogen_routing import (
    PathDrop,
    PathDropConfig,
    SprintDDT,
    SprintDDTConfig,
    SprintLightningDiT,
    SprintLightningDiTConfig,
    TreadDDT,
    TreadDDTConfig,
    TreadLightningDiT,
    TreadLightningDiTConfig,
)

ABLE = frozenset({"two-time", "cfg-conditioned", "features", "internal-head", "jvp", "token-times"})
SIZES = {"hidden": 32, "depth": 3, "heads": 2, "route_from": 2, "route_to": 2}
DECODER = {"decoder_hidden": 48, "decoder_depth": 1, "decoder_heads": 3}


@pytest.fixture
def manifest():
    return "nanogen_routing.plugin"


class TestPlugin(PluginContract):
    pass


class RoutedContract(BackboneContract):
    provides = ABLE
    intermediates = ("block.1", "block.2", "block.3")


class TestTreadLightningDiT(RoutedContract):
    @pytest.fixture
    def build(self):
        return partial(TreadLightningDiT, TreadLightningDiTConfig(**SIZES), wanted=ABLE)


class TestTreadDDT(RoutedContract):
    @pytest.fixture
    def build(self):
        return partial(TreadDDT, TreadDDTConfig(**SIZES, **DECODER), wanted=ABLE)


class TestSprintLightningDiT(RoutedContract):
    @pytest.fixture
    def build(self):
        return partial(SprintLightningDiT, SprintLightningDiTConfig(**SIZES, path_drop=0.3), wanted=ABLE)


class TestSprintDDT(RoutedContract):
    @pytest.fixture
    def build(self):
        return partial(SprintDDT, SprintDDTConfig(**SIZES, **DECODER, path_drop=0.3), wanted=ABLE)


class TestPathDrop(GuidanceContract):
    @pytest.fixture
    def guidance(self):
        return PathDrop(PathDropConfig(scale=2.5))
