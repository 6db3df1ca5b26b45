"""A short training on both tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from nanogen_scaffold import short_training


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_training(task: str, tmp_path: Path) -> None:
    trained = short_training(task, tmp_path, tokenizer="placeholder")
    assert sum(trained.losses[-5:]) < sum(trained.losses[:5])
