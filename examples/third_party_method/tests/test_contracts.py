"""Tests the objective and the manifest against the contracts of NanoGen."""

import pytest
from direction_nanogen.config import DirectionFlowConfig
from direction_nanogen.objective import DirectionFlow

from nanogen_core.testing import ObjectiveContract, PluginContract


@pytest.fixture
def manifest():
    return "direction_nanogen.plugin"


@pytest.fixture
def objective(request):
    config = DirectionFlowConfig(prediction="x" if request.cls.predicts == "data" else "velocity")
    return DirectionFlow(config, latent=request.cls.latent)


class TestPlugin(PluginContract):
    pass


class TestVelocityPrediction(ObjectiveContract):
    pass


class TestDataPrediction(ObjectiveContract):
    predicts = "data"
