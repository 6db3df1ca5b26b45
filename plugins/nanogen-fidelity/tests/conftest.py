"""Small spaces and images for the tests."""

import numpy as np
import pytest
import torch
from torch import nn

from nanogen_core.tensors import Batch
from nanogen_eval.pixels import from_uint8
from nanogen_fidelity.extractor import Extractor
from nanogen_files.images import to_pil


class TinySpace(Extractor):
    """Mean colours under a fixed matrix: 5 features and 4 logits."""

    width = 5
    outputs = ("features", "logits")
    settings = {"network": "tiny"}

    def load(self):
        network = nn.Linear(3, 9)
        numbers = torch.arange(27 + 9, dtype=torch.float32).sin()
        network.load_state_dict({"weight": numbers[:27].reshape(9, 3), "bias": numbers[27:]})
        return network

    def forward_features(self, network, pixels):
        seen = network(pixels.float().mean(dim=(2, 3)) / 16)
        return seen[:, :5], seen[:, 5:]


@pytest.fixture
def tiny(monkeypatch):
    """Every space that a metric names is the tiny one."""
    space = TinySpace()
    for module in ("frechet", "inception_score", "neighbours", "spaces"):
        monkeypatch.setattr(f"nanogen_fidelity.metrics.{module}.shared", lambda named, path="": space)
    return space


def images(count, seed, side=16):
    """float32 [count, 3, side, side] on the 8-bit grid."""
    generator = torch.Generator().manual_seed(seed)
    tint = torch.randint(0, 156, (count, 3, 1, 1), generator=generator)
    noise = torch.randint(0, 100, (count, 3, side, side), generator=generator)
    return from_uint8((tint + noise).to(torch.uint8))


@pytest.fixture
def pictures():
    return images


@pytest.fixture
def examples():
    return Batch(indices=torch.arange(8), images=images(8, seed=0))


@pytest.fixture
def folder(tmp_path):
    """A folder of twelve PNG files, and the images in it."""
    made = images(12, seed=1)
    (tmp_path / "real").mkdir()
    for number, picture in enumerate(to_pil(made)):
        picture.save(tmp_path / "real" / f"{number}.png")
    return tmp_path / "real", made


@pytest.fixture
def archive(tmp_path):
    """The same images as an .npz batch."""
    made = images(12, seed=1)
    rows = np.stack([np.asarray(picture) for picture in to_pil(made)])
    np.savez(tmp_path / "real.npz", rows)
    return tmp_path / "real.npz", made
