"""Fixtures: a small network without zero weights, and the configuration of a tiny run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig
from nanogen_dit.ddt import DDT

torch.set_num_threads(1)

LATENT = LatentSpec(2, 4, 4, factor=16)
TEXT = ConditionSpec(width=6, length=3, normalize=True, padded=True)


@pytest.fixture
def make() -> Callable[..., torch.nn.Module]:
    """Build a small DDT with two times and random weights in place of zero ones."""

    def build(*words: str, depth: int = 2) -> torch.nn.Module:
        torch.manual_seed(0)
        size: dict[str, Any] = {"hidden": 16, "depth": depth, "heads": 1}
        config = DDTConfig(**size, decoder_hidden=16, decoder_depth=1, decoder_heads=1)
        wanted = frozenset({"two-time", "jvp", *words})
        net = DDT(config, latent=LATENT, condition=TEXT, wanted=wanted)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return net

    return build


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """Reset torch.compile. Sizes in its cache lead to dynamic shapes, which are slower and fail differently."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def small() -> dict[str, Any]:
    """Configuration of a tiny run on OpenMoji."""
    return {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "ddt", "hidden": 16, "depth": 1, "heads": 1,
                     "decoder_hidden": 16, "decoder_depth": 1, "decoder_heads": 1},
        "stage": {"name": "diffusion", "ema_decay": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "train": {"steps": 4, "batch_size": 8, "precision": "fp32", "sample_every": 0, "checkpoint_every": 4},
    }  # fmt: skip
