"""A short training on both tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from nanogen_scaffold import short_training


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_training(task: str, tmp_path: Path) -> None:
    trained = short_training(task, tmp_path, sampler={"name": "placeholder", "steps": 3})
    assert trained.samples.isfinite().all()
    assert trained.samples.std() > 0
