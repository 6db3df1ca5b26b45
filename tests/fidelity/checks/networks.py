"""A network with random weights in the published layout: forward pass, losses, gradient norms, samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.fidelity.measurement import Measurement
from tests.parity import LIMIT, check_case


def measure(path: Path) -> Iterator[Measurement]:
    """Measure every recorded output. The error of an output that is not computed is infinite."""
    report = check_case(path)
    for name, error in report.errors.items():
        yield Measurement(name, error, LIMIT)
    for name in (*report.missing, *report.waiting):
        yield Measurement(f"{name} (not computed)", float("inf"), LIMIT)
    for name in report.lacking:
        yield Measurement(f"{name} (not recorded)", float("inf"), LIMIT)
