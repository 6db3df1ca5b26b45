"""Start-up time of the command line, compared with importing click."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import startup
from benchmarks.speed.timing import Row


def start() -> Iterator[Row]:
    """Measure `nanogen --help` and the plugin scan."""
    medians = startup.medians()
    more = medians["help"] - medians["click"]
    yield Row(
        name="`nanogen --help`", against="`import click`", figure=more, unit="s more", at_most=0.25,
        detail=f"{medians['help']:.3f} s against {medians['click']:.3f} s",
    )  # fmt: skip
    yield Row(
        name="plugin scan", against="", figure=1e3 * medians["scan"], unit="ms", at_most=20,
        detail=f"`import click` {1e3 * medians['click']:.1f} ms",
    )  # fmt: skip
