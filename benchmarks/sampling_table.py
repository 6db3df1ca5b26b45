"""Scores of one trained run by sampler, guidance and steps: `python -m benchmarks.sampling_table RUN`.

RUN is a run on the OpenMoji drawings, such as a cell of the matrix. A row samples its averaged weights with one sampler
and no guidance, or with Euler's method and one guidance. A guidance that RUN does not support has no row. The scores
are those of the matrix, over `--count` samples. `evaluations` is the number of evaluations of the network for one
sample; autoguidance also evaluates the network of `--weak`. The result is a Markdown table. Its row `real` has the
scores of training drawings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch
from attrs import frozen

from benchmarks.matrix.score import Judge
from nanogen_core.errors import Incompatible, NanoGenError
from nanogen_core.pipeline import Pipeline

SAMPLERS = ("euler", "heun", "dpm-solver-2m", "unipc", "sde")
GUIDANCES = ("cfg", "cfg-zero-star", "apg", "path-drop", "internal")


@frozen(kw_only=True)
class Row:
    """One way of sampling."""

    sampler: str
    steps: int
    guidance: Mapping[str, Mapping[str, Any]]  # name -> options

    def of(self, pipeline: Pipeline) -> Pipeline:
        """Return the pipeline with this sampler and guidance in place of its own."""
        others = dict.fromkeys(pipeline.guidance)
        sampler = {"name": self.sampler, "steps": self.steps}
        return pipeline.reconfigured({"sampler": sampler, "guidance": {**others, **self.guidance}})


def rows(steps: list[int], scale: float, weak: str | None) -> list[Row]:
    """Return every sampler without guidance, then every guidance with the first sampler, for all numbers of steps."""
    guidances = {name: {"scale": scale} for name in GUIDANCES}
    if weak is not None:
        guidances["autoguidance"] = {"scale": scale, "pipeline": weak}
    plain = [Row(sampler=name, steps=number, guidance={}) for name in SAMPLERS for number in steps]
    guided = [
        Row(sampler=SAMPLERS[0], steps=number, guidance={name: options})
        for name, options in guidances.items()
        for number in steps
    ]
    return [*plain, *guided]


@contextmanager
def counted(network: torch.nn.Module) -> Iterator[list[int]]:
    """Count the rows that a network evaluates."""
    found = [0]

    def count(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        found[0] += len(inputs[0].latent)

    handle = network.register_forward_pre_hook(count)
    try:
        yield found
    finally:
        handle.remove()


def table(pipeline: Pipeline, chosen: list[Row], count: int) -> Iterator[str]:
    """Yield the lines of the table. Two sets of `count` images are sampled for each row."""
    judge = Judge()
    real = judge.real(pipeline, count)
    yield _line("sampler", "guidance", "steps", "evaluations", *real, "seconds")
    yield _line(*["---"] * (5 + len(real)))
    yield _line("real", "", "", "", *(f"{value:.3f}" for value in real.values()), "")
    for row in chosen:
        since = time.perf_counter()
        try:
            with counted(pipeline.backbone) as evaluated:
                scores = judge.sampled(row.of(pipeline), count, steps=row.steps)
        except Incompatible:
            continue
        seconds = f"{time.perf_counter() - since:.0f}"
        evaluations = f"{evaluated[0] / (2 * count):.0f}"
        values = (f"{scores[name]:.3f}" for name in real)
        yield _line(row.sampler, ", ".join(row.guidance) or "none", row.steps, evaluations, *values, seconds)


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--steps", default="5,10,25,50", show_default=True, help="Numbers of steps.")
@click.option("--count", type=click.IntRange(2), default=384, show_default=True, help="Samples for each score.")
@click.option("--scale", type=float, default=2.0, show_default=True, help="Scale of every guidance.")
@click.option("--weak", help="Folder of a weaker run, for autoguidance.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this sampler or guidance; repeatable.")
def main(run: Path, steps: str, count: int, scale: float, weak: str | None, only: tuple[str, ...]) -> None:
    """Print the scores of RUN by sampler, guidance and number of steps."""
    chosen = rows([int(number) for number in steps.split(",")], scale, weak)
    chosen = [row for row in chosen if not only or {*(row.guidance or {row.sampler: {}})} & {*only}]
    try:
        for line in table(Pipeline.load(run), chosen, count):
            click.echo(line)
    except NanoGenError as error:
        raise SystemExit(f"Error: {error}") from error


if __name__ == "__main__":
    main()
