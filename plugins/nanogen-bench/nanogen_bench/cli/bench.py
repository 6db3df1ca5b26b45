"""`nanogen bench`: lists its verbs without importing them."""

from __future__ import annotations

import click

from nanogen_core.cli.lazy import LazyGroup

#: verb -> (where its command is, what it does)
VERBS = {
    "correlate": (
        "nanogen_bench.cli.correlate:correlate",
        "Say how two kinds of score go together over models, and how sure that is.",
    ),
    "audit": ("nanogen_bench.cli.audit:audit", "Say whether two training regimes are equal but for the task."),
    "card": ("nanogen_bench.cli.card:card", "Write the entry of one model: both tasks, seeds, fingerprints."),
    "collect": ("nanogen_bench.cli.collect:collect", "Make a table of models from the scores of runs."),
    "mini": ("nanogen_bench.cli.mini:mini", "Run the whole experiment in small, on drawings."),
    "report": ("nanogen_bench.cli.report:report", "Write one HTML page about a table of scores."),
}


@click.command(cls=LazyGroup, verbs=VERBS)
def bench() -> None:
    """DiffusionBench: do the rankings of one task say anything about the other?"""
