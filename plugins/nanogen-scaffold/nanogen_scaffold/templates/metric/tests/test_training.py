"""A short training on both tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from nanogen_eval import evaluate_pipeline
from nanogen_scaffold import short_training


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_training(task: str, tmp_path: Path) -> None:
    trained = short_training(task, tmp_path, metric={"placeholder": {}})
    scores = evaluate_pipeline(trained.pipeline, 6)
    assert {score.metric for score in scores} == {"contrast", "uniform"}
