"""A short training on this task."""

from __future__ import annotations

from pathlib import Path

from nanogen_scaffold import short_training


def test_training(tmp_path: Path) -> None:
    trained = short_training("placeholder", tmp_path, conditioner="tiny-texts")
    assert sum(trained.losses[-5:]) < sum(trained.losses[:5])
