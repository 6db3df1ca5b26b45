"""The command group `nanogen bench`. Imports a subcommand only when it runs."""

from __future__ import annotations

import click

from nanogen_core.cli.lazy import LazyGroup

#: subcommand -> (target, one-line help)
VERBS = {
    "correlate": (
        "nanogen_bench.cli.correlate:correlate",
        "Correlate scores over models, with intervals and p-values.",
    ),
    "audit": ("nanogen_bench.cli.audit:audit", "Compare two trainings: do they differ only in the task?"),
    "card": ("nanogen_bench.cli.card:card", "Write the card of one model: scores on both tasks, seeds, fingerprints."),
    "collect": ("nanogen_bench.cli.collect:collect", "Write a table of models from the scores of runs."),
    "mini": ("nanogen_bench.cli.mini:mini", "Run a small version of the experiment, on drawings."),
    "report": ("nanogen_bench.cli.report:report", "Write an HTML page about a table of scores."),
}


@click.command(cls=LazyGroup, verbs=VERBS)
def bench() -> None:
    """DiffusionBench: compare model rankings of two tasks."""
