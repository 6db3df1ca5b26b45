"""Fixtures: small networks without zero weights, and their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT

LATENT = LatentSpec(3, 4, 6, factor=16)
TEXT = ConditionSpec(width=10, length=5, normalize=True, padded=True)

SMALL: dict[str, Any] = {"hidden": 32, "depth": 2, "heads": 2}


def _lightning_dit(**parts: Any) -> LightningDiT:
    return LightningDiT(LightningDiTConfig(**SMALL), **parts)


def _ddt(**parts: Any) -> DDT:
    return DDT(DDTConfig(**SMALL, decoder_hidden=48, decoder_depth=1, decoder_heads=3), **parts)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[_lightning_dit, _ddt], ids=["lightning-dit", "ddt"])
def make(request: pytest.FixtureRequest) -> Callable[..., torch.nn.Module]:
    """Build a small float64 network with random numbers in place of zero weights."""

    def alive(latent: LatentSpec = LATENT, condition: ConditionSpec = TEXT, wanted: tuple[str, ...] = ()) -> Any:
        net = request.param(latent=latent, condition=condition, wanted=frozenset(wanted)).double()
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return net

    return alive


@pytest.fixture
def inputs() -> Callable[..., tuple[State, Times, Condition]]:
    """Build float64 inputs: three states, times with r <= t, and texts of 5, 4 and 2 tokens."""

    def inputs(latent: LatentSpec = LATENT) -> tuple[State, Times, Condition]:
        token = torch.randn(3, latent.cls_token_width).double() if latent.cls_token_width else None
        t = torch.tensor([0.9, 0.5, 0.2]).double()
        mask = torch.arange(5) < torch.tensor([5, 4, 2])[:, None]
        condition = Condition(torch.randn(3, 5, 10).double(), mask)
        return State(torch.randn(3, *latent.shape).double(), token), Times(t, t * 0.4), condition

    return inputs
