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
        "method": "repa-e",
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 64, "val": 16},
        "tokenizer": {"name": "batch-norm-vae", "vae": "openmoji-vae"},
        "backbone": {"name": "lightning-dit", "hidden": 32, "depth": 2, "heads": 2, "init": "xavier"},
        "objective": {"name": "flow", "shift": 1.0},
        "sampler": {"name": "euler", "steps": 2},
        "auxiliary": {"repa": {"teacher": "openmoji-classifier", "block": 1, "mlp_width": 32}},
        "stage": {"name": "repa-e", "perceptual": "none", "ema_decay": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "train": {"steps": 4, "batch_size": 4, "precision": "fp32", "log_every": 1, "sample_every": 0,
                  "sample_count": 2, "checkpoint_every": 2, "keep_last": 9},
    }  # fmt: skip
