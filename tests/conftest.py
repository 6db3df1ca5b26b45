"""What the tests of the core share: configurations so small that a run takes a second or two."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def small():
    """A run on the drawings, at the smallest sizes that exercise every part."""
    return {
        "task": "imagenet",
        "image_size": 16,
        "dataset": {"name": "openmoji", "train": 32, "val": 16},
        "tokenizer": "openmoji-vae",
        "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        "objective": "flow",
        "sampler": {"name": "euler", "steps": 2},
        "stage": {"name": "diffusion", "ema_decay": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "train": {
            "steps": 6,
            "batch_size": 8,
            "precision": "fp32",
            "log_every": 2,
            "sample_every": 0,
            "sample_count": 4,
            "checkpoint_every": 3,
        },
    }
