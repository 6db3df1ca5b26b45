"""Tests the objective and the manifest against the contracts of NanoGen."""

import pytest
from contrastive_nanogen.config import ContrastiveFlowConfig
from contrastive_nanogen.objective import ContrastiveFlow

from nanogen_core.testing import ObjectiveContract, PluginContract


@pytest.fixture
def manifest():
    return "contrastive_nanogen.plugin"


@pytest.fixture
def objective(request):
    config = ContrastiveFlowConfig(prediction="x" if request.cls.predicts == "data" else "velocity")
    return ContrastiveFlow(config, latent=request.cls.latent)


class TestPlugin(PluginContract):
    pass


class TestVelocityPrediction(ObjectiveContract):
    pass


class TestDataPrediction(ObjectiveContract):
    predicts = "data"
