"""Saved pipelines, a server of a page, and the headless Chromium of the repository's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nanogen_core import build_pipeline
from tests.browser import browser  # noqa: F401

torch.set_num_threads(1)

SMALL: dict[str, Any] = {
    "image_size": 16,
    "dataset": {"name": "openmoji", "train": 32, "val": 16},
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
    "objective": "flow",
    "guidance": "cfg",
    "sampler": {"name": "euler", "steps": 4},
}


def saved(folder: Path, **options: Any) -> Path:
    """Save a pipeline with random weights: a fresh network predicts zero."""
    pipeline = build_pipeline({**SMALL, **options})
    generator = torch.Generator().manual_seed(1)
    for parameter in pipeline.backbone.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return pipeline.save(folder)


@pytest.fixture(scope="session")
def by_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("runs") / "by-class", task="imagenet")


@pytest.fixture(scope="session")
def by_caption(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("runs") / "by-caption", task="t2i", guidance={"cfg": None})


@pytest.fixture(scope="session")
def address(by_class: Path, by_caption: Path) -> Iterator[str]:
    """The address of a page with two runs, whose server runs in this process."""
    from nanogen_app.generation import LoadedRun
    from nanogen_app.page import page, serve

    blocks = page([LoadedRun.load(by_class), LoadedRun.load(by_caption)])
    yield serve(blocks, host="127.0.0.1", port=None, share=False).local_url
    blocks.close(verbose=False)
