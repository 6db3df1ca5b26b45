"""The progress of a training: its rate and its remaining time."""

import re
import time

import pytest
import torch

from nanogen_train.cli.progress import RECENT, training_progress
from nanogen_train.logging.metrics import MetricsAccumulator


def shown(capsys, lines, steps):
    """The remaining seconds of each printed line for (step, seconds); None if the line says none."""
    with training_progress(steps) as report:
        for step, seconds in lines:
            report(step, {"loss": 1.0, "images_per_second": 8.0, "seconds": seconds})
    printed = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"step {step}/{steps} ") for line, (step, _) in zip(printed, lines, strict=True))
    found = [re.search(r", (\d+) s left$", line) for line in printed]
    return [None if one is None else int(one[1]) for one in found]


def test_the_remaining_time_leaves_out_the_preparation(capsys):
    """100 s of preparation and warm-up before the first line; then 2 s a step."""
    assert shown(capsys, [(10, 120.0), (20, 140.0), (50, 200.0), (100, 300.0)], 100) == [None, 160, 100, 0]


def test_the_remaining_time_follows_recent_steps(capsys):
    """The steps become ten times as fast. After RECENT further lines, only the fast ones count."""
    slow = [(step, 10.0 * step) for step in range(1, 11)]
    fast = [(10 + more, 100.0 + more) for more in range(1, RECENT + 1)]
    assert shown(capsys, slow + fast, 1000)[-1] == 1000 - 10 - RECENT


def test_a_resumed_run_does_not_count_its_first_part(capsys):
    assert shown(capsys, [(510, 5000.0), (520, 5010.0)], 1000) == [None, 480]


def test_the_rate_begins_with_the_first_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    metrics = MetricsAccumulator()
    now[0] = 100.0  # encoding the data
    metrics.start_steps()
    now[0] = 104.0
    metrics.add(1, torch.arange(8), {"loss": torch.tensor(1.0)}, images=8)
    first = metrics.summary()
    assert first["images_per_second"] == pytest.approx(8 / 4)
    assert first["seconds"] == 104.0
    now[0] = 105.0
    metrics.add(2, torch.arange(8), {"loss": torch.tensor(1.0)}, images=8)
    assert metrics.summary()["images_per_second"] == pytest.approx(8.0)
