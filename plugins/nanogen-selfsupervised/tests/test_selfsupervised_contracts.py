"""The manifest, the objective and both auxiliary losses pass their contracts."""

from __future__ import annotations

import pytest

from nanogen_core import build_pipeline
from nanogen_core.testing import ObjectiveContract, PluginContract
from nanogen_selfsupervised import ContrastiveFlow, ContrastiveFlowConfig
from nanogen_train.testing import AuxiliaryContract


@pytest.fixture
def manifest():
    return "nanogen_selfsupervised.plugin"


class TestPlugin(PluginContract):
    pass


class TestContrastiveFlow(ObjectiveContract):
    @pytest.fixture
    def objective(self):
        prediction = "x" if self.predicts == "data" else "velocity"
        return ContrastiveFlow(ContrastiveFlowConfig(prediction=prediction), latent=self.latent)


class TestContrastiveFlowOfData(TestContrastiveFlow):
    predicts = "data"


class TestDispersive(AuxiliaryContract):
    couples = True

    @pytest.fixture
    def pipeline(self, small):
        return build_pipeline({**small, "auxiliary": {"dispersive": {}}})


class TestSelfAlignment(AuxiliaryContract):
    distance = "smooth-l1"

    @pytest.fixture
    def pipeline(self, small):
        return build_pipeline(
            {**small, "auxiliary": {"sra": {"block": 1, "teacher_block": 3, "distance": self.distance}}}
        )


class TestSelfAlignmentByCosine(TestSelfAlignment):
    distance = "cosine"
