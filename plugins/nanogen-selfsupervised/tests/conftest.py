"""A configuration so small that a run takes a second or two."""

from __future__ import annotations

from typing import Any

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def small() -> dict[str, Any]:
    """Return a run on the drawings with a backbone of four tokens and four blocks."""
    return {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 4, "heads": 1, "patch_size": 1},
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
