"""A short training on both tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nanogen_scaffold import short_training


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_training(task: str, tmp_path: Path) -> None:
    trained = short_training(task, tmp_path, guidance={"placeholder": {"scale": 3.0}})
    requests = trained.pipeline.task.eval_batch(2)
    unguided = trained.pipeline.sample(requests, guidance=1.0)
    assert not torch.equal(trained.samples, unguided)
