"""A short training on both tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from nanogen_scaffold import short_training

SMALL = {"width": 32, "depth": 2, "heads": 2}


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_training(task: str, tmp_path: Path) -> None:
    trained = short_training(task, tmp_path, backbone={"name": "placeholder", **SMALL})
    assert sum(trained.losses[-5:]) < sum(trained.losses[:5])
