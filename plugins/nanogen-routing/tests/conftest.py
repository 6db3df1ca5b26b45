"""Small networks and inputs, and a configuration whose run takes a second or two."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_routing import (
    SprintDDT,
    SprintDDTConfig,
    SprintLightningDiT,
    SprintLightningDiTConfig,
    TreadDDT,
    TreadDDTConfig,
    TreadLightningDiT,
    TreadLightningDiTConfig,
)

sys.path.insert(0, str(Path(__file__).parent))
from routing_reference import DECODER, LATENT, SIZES, TEXT, built

torch.set_num_threads(1)


def _tread_lightning_dit(**options: Any) -> tuple[type, Any]:
    return TreadLightningDiT, TreadLightningDiTConfig(**SIZES, **options)


def _tread_ddt(**options: Any) -> tuple[type, Any]:
    return TreadDDT, TreadDDTConfig(**SIZES, **DECODER, **options)


@pytest.fixture(params=[_tread_lightning_dit, _tread_ddt], ids=["lightning-dit", "ddt"])
def tread(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def make(
        latent: LatentSpec = LATENT, condition: ConditionSpec = TEXT, wanted: tuple[str, ...] = (), **options: Any
    ) -> Any:
        return built(request.param(**options), latent, condition, wanted)

    return make


def _sprint_lightning_dit(**options: Any) -> tuple[type, Any]:
    return SprintLightningDiT, SprintLightningDiTConfig(**SIZES, **options)


def _sprint_ddt(**options: Any) -> tuple[type, Any]:
    return SprintDDT, SprintDDTConfig(**SIZES, **DECODER, **options)


@pytest.fixture(params=[_sprint_lightning_dit, _sprint_ddt], ids=["lightning-dit", "ddt"])
def sprint(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def make(
        latent: LatentSpec = LATENT, condition: ConditionSpec = TEXT, wanted: tuple[str, ...] = (), **options: Any
    ) -> Any:
        return built(request.param(**options), latent, condition, wanted)

    return make


@pytest.fixture
def small() -> dict[str, Any]:
    """Return a run on the drawings: 4 x 4 tokens, four blocks."""
    return {
        "task": "imagenet",
        "image_size": 32,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {
            "name": "tread-lightning-dit",
            "hidden": 16,
            "depth": 4,
            "heads": 1,
            "patch_size": 1,
            "route_from": 2,
            "route_to": 3,
        },
        "objective": "flow",
        "sampler": {"name": "euler", "steps": 2},
        "stage": {"name": "diffusion", "ema_decay": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "train": {
            "steps": 4,
            "batch_size": 8,
            "precision": "fp32",
            "log_every": 1,
            "sample_every": 0,
            "sample_count": 2,
            "checkpoint_every": 2,
        },
    }
