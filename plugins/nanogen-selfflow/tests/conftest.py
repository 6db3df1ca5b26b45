"""The configuration of a tiny run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def small() -> dict[str, Any]:
    """Configuration of a tiny run on OpenMoji."""
    return {
        "task": "imagenet",
        "image_size": 16,
        "method": "self-flow",
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 32, "depth": 3, "heads": 1, "patch_size": 1},
        "auxiliary": {"self-flow": {"block": 1, "teacher_block": 2}},
        "sampler": {"name": "euler", "steps": 3},
        "stage": {"name": "diffusion", "ema_decay": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "schedule": "constant",
        "train": {"steps": 40, "batch_size": 32, "precision": "fp32", "log_every": 1, "sample_every": 0,
                  "checkpoint_every": 40, "cache_latents": True},
    }  # fmt: skip
