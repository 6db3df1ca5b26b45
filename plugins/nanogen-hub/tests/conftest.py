"""A trained run, and a stand-in of the hub that the real client uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

torch.set_num_threads(1)

CONFIG: dict[str, Any] = {
    "task": "imagenet",
    "image_size": 16,
    "dataset": {"name": "openmoji", "train": 32, "val": 16},
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
    "objective": "flow",
    "sampler": {"name": "euler", "steps": 2},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "train": {"steps": 4, "batch_size": 8, "precision": "fp32", "sample_every": 0, "checkpoint_every": 2},
}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with scores."""
    from click.testing import CliRunner

    from nanogen_core import build_pipeline
    from nanogen_eval.cli.evaluate import evaluate
    from nanogen_train import Run

    folder = tmp_path_factory.mktemp("runs") / "small"
    Run(build_pipeline(CONFIG), folder).train()
    result = CliRunner().invoke(evaluate, [str(folder), "--metrics", "openmoji-accuracy", "--count", "16"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in. huggingface_hub uses it with an empty cache and a valid token."""
    from huggingface_hub import constants

    from .hub_server import TOKEN, Hub

    server = Hub()
    for name, value in server.settings(tmp_path).items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.close()
