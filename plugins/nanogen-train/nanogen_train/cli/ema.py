"""Command `nanogen ema`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import COUNT
from nanogen_files.errors import counted


def _widths(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(word) for word in value.split(",")))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0.05,0.10.") from error


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--sigma-rel", "widths", required=True, callback=_widths, help="Widths, such as 0.05,0.10.")
@click.option("--step", type=COUNT, help="Step of a snapshot; default: the newest.")
def ema(run: Path, widths: tuple[float, ...], step: int | None) -> None:
    """Compute EMA weights of the given widths from the snapshots of RUN.

    Saves a pipeline for each width in RUN/ema-WIDTH, with --step in RUN/ema-WIDTH-step-STEP.

    The width (sigma_rel of EDM2) describes how an EMA weights past steps. It is the standard deviation of this
    weighting, divided by the number of steps so far.
    """
    from nanogen_train.ema.posthoc import reconstruct, width_text

    for result in reconstruct(run, widths, step):
        click.echo(
            f"sigma_rel {width_text(result.width)} after step {result.step}, from"
            f" {counted(result.snapshots, 'snapshot')}, profile error {result.error:.2%}: {result.folder}"
        )
