"""The tests that the author runs beside the two files: the public contracts, on both tasks."""

from pathlib import Path

import pytest
from drifting import Drifting
from self_flow import MixedConfig, MixedFlow

from nanogen_core import register
from nanogen_core.testing import ObjectiveContract, PluginContract
from nanogen_scaffold import small_pipeline
from nanogen_train.testing import AuxiliaryContract, StageContract

HERE = Path(__file__).parent
BOTH = ("imagenet", "t2i")

register(HERE / "self_flow.py")
register(HERE / "drifting.py")


class TestFiles(PluginContract):
    single_file = True

    @pytest.fixture(params=["self_flow", "drifting"])
    def manifest(self, request):
        return request.param


class TestMixedFlow(ObjectiveContract):
    @pytest.fixture
    def objective(self):
        return MixedFlow(MixedConfig(), **ObjectiveContract.parts())


class TestMixedFlowOfData(ObjectiveContract):
    predicts = "data"

    @pytest.fixture
    def objective(self):
        return MixedFlow(MixedConfig(prediction="x"), **ObjectiveContract.parts())


class TestTeacher(AuxiliaryContract):
    @pytest.fixture(params=BOTH)
    def pipeline(self, request):
        blocks = {"block": 1, "teacher_block": 1}
        return small_pipeline(request.param, objective="my-self-flow", auxiliary={"my-self-flow": blocks})


class TestTeacherOfPlainFlow(AuxiliaryContract):
    @pytest.fixture
    def pipeline(self):
        return small_pipeline("imagenet", auxiliary={"my-self-flow": {"block": 1, "teacher_block": 1}})


class TestDrifting(StageContract):
    @pytest.fixture(params=BOTH)
    def pipeline(self, request):
        pipeline = small_pipeline(request.param, stage={"name": "my-drifting", "generated": 4}, sampler={"steps": 1})
        assert pipeline.config.slots["stage"].chosen.component.target.endswith(Drifting.__name__)
        return pipeline
