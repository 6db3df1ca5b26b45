"""`nanogen ema`."""

from __future__ import annotations

from pathlib import Path

import click

from nanogen_core.cli.options import COUNT


def _widths(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(word) for word in value.split(",")))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 0.05,0.10.") from error


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--sigma-rel", "widths", required=True, callback=_widths, help="Widths, such as 0.05,0.10.")
@click.option("--step", type=COUNT, help="Of a snapshot; by default that of the newest.")
def ema(run: Path, widths: tuple[float, ...], step: int | None) -> None:
    """Make averages of other widths of the snapshots of a finished RUN: a saved pipeline for each, RUN/ema-WIDTH.

    A width is the standard deviation of an average's profile, as a share of the steps so far (EDM2, sigma_rel).
    """
    from nanogen_train.ema.posthoc import reconstruct, written

    for made in reconstruct(run, widths, step):
        click.echo(
            f"sigma_rel {written(made.width)} after step {made.step}, of {made.snapshots} snapshots, its profile"
            f" {made.error:.2%} off: {made.folder}"
        )
