"""The contracts of the manifest, the objectives and the sampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nanogen_consistency.config import ConsistencySamplerConfig, SCMConfig, TrigFlowConfig
from nanogen_consistency.sampler import ConsistencySampler
from nanogen_consistency.scm import SCM
from nanogen_consistency.trigflow import TrigFlow
from nanogen_core.protocols import Objective
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_core.testing import ObjectiveContract, PluginContract, SamplerContract

SPEC = ConditionSpec(width=1, length=1)


class TestPlugin(PluginContract):
    @pytest.fixture
    def manifest(self) -> str:
        return "nanogen_consistency.plugin"


class ArcContract(ObjectiveContract):
    damped_below = 0.0  # no velocity is damped

    def true_prediction(self, objective: Objective, state: State, times: Times, clean: State) -> State:
        """F = (cos(a) z - sin(a) data) / sigma_d, where the noise z is solved from the state."""
        assert isinstance(objective, TrigFlow)

        def output(scaled: Tensor, target: Tensor) -> Tensor:
            angle = times.t.reshape(-1, *([1] * (scaled.ndim - 1)))
            data = target / objective.std
            noise = (scaled - angle.cos() * data) / angle.sin()
            return angle.cos() * noise - angle.sin() * data

        return state.map(output, clean)


class TestTrigFlow(ArcContract):
    @pytest.fixture
    def objective(self) -> TrigFlow:
        return TrigFlow(TrigFlowConfig(), latent=self.latent)


class TestWithClassToken(ArcContract):
    latent = LatentSpec(4, 8, 8, factor=8, cls_token_width=6)

    @pytest.fixture
    def objective(self) -> TrigFlow:
        return TrigFlow(TrigFlowConfig(data_std=0.7, adaptive_weight=False), latent=self.latent)


class TestSCM(ArcContract):
    @pytest.fixture(params=["exact", "forward", "central"])
    def objective(self, request: pytest.FixtureRequest) -> SCM:
        config = SCMConfig(tangent_warmup=0, derivative=request.param, fd_step=1e-2)
        return SCM(config, latent=self.latent, condition=SPEC)


class TestWarmup(ArcContract):
    @pytest.fixture
    def objective(self) -> SCM:
        return SCM(SCMConfig(), latent=self.latent, condition=SPEC)


class TestConsistencySampler(SamplerContract):
    order = 0
    steps = 4

    @pytest.fixture
    def sampler(self) -> ConsistencySampler:
        return ConsistencySampler(ConsistencySamplerConfig())

    def objective(self) -> Any:
        return _ExactJump()


class _ExactJump:
    """The consistency function of data N(0, 0.5^2) on the straight path: x scales with its standard deviation."""

    def interpolate(self, clean: State, noise: State, t: Tensor) -> State:
        return clean.map(lambda x, n: torch.lerp(x, n, t.reshape(-1, *([1] * (x.ndim - 1)))), noise)

    def step(self, velocity_fn: Any, state: State, times: Times, condition: Condition) -> State:
        t, r = times.numbers()
        assert r == 0.0
        return state.map(lambda x: 0.5 / ((1 - t) ** 2 * 0.25 + t**2) ** 0.5 * x)

    def grid(self, steps: int) -> Tensor:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)
