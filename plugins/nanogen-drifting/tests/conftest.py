"""Fixtures: the configuration of a tiny run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def small() -> dict[str, Any]:
    """Configuration of a tiny run on OpenMoji."""
    return {
        "method": "drifting",
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 64, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 32, "depth": 2, "heads": 2, "init": "xavier"},
        "stage": {"name": "drifting", "generated": 8, "positives": 8, "unconditional": 4, "bank_size": 16,
                  "queue_size": 64, "ema_decay": 0.9},
        "optimizer": {"name": "adamw", "lr": 3e-3},
        "schedule": {"name": "constant", "warmup_steps": 5},
        "train": {"steps": 4, "batch_size": 4, "precision": "fp32", "log_every": 1, "sample_every": 0,
                  "sample_count": 2, "checkpoint_every": 2, "keep_last": 9, "cache_latents": True},
    }  # fmt: skip
