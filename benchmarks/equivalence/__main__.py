"""The command `python -m benchmarks.equivalence [FOLDER]`: trains recorded curves with several seeds and compares."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from benchmarks.equivalence.comparison import LIMIT, Point, compare
from benchmarks.equivalence.curve import Curve, curves_in, read
from benchmarks.equivalence.training import train_all
from nanogen_core.errors import NanoGenError

VARIABLE = "NANOGEN_FIDELITY_FIXTURES"
OWN = Path(__file__).parents[2] / "tests" / "fidelity" / "fixtures"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--seeds", type=click.IntRange(min=3), default=4, show_default=True, help="Number of seeds, from 0.")
def main(folder: Path | None, seeds: int) -> None:
    """Compare with the curves of FOLDER, of NANOGEN_FIDELITY_FIXTURES, or of the tests. The exit status is 1 if a point
    misses."""
    folder = folder or Path(os.environ.get(VARIABLE) or OWN)
    try:
        held = [_holds(path, seeds) for path in curves_in(folder)]
    except NanoGenError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    sys.exit(0 if all(held) else 1)


def _holds(path: Path, seeds: int) -> bool:
    """Train one curve and print its table. Returns whether all points are within the limit."""
    curve, start = read(path), time.monotonic()
    points = compare(curve, train_all(path, range(seeds)))
    click.echo(table(curve, points, seeds))
    click.echo(f"  {time.monotonic() - start:.0f} seconds")
    return all(point.holds for point in points)


def table(curve: Curve, points: list[Point], seeds: int) -> str:
    """Return one line per recorded step: our mean, the published mean, and their difference."""
    missed = [point for point in points if not point.holds]
    verdict = f"MISSES {len(missed)} of {len(points)}" if missed else f"holds ({len(points)} compared)"
    heading = f"{curve.name}: {seeds} seeds of ours, {curve.seeds} published, limit {LIMIT:g} errors  {verdict}"
    columns = f"  {'weights':<8} {'step':>6} {'ours':>9} {'published':>9} {'difference':>10} {'errors':>7}"
    return "\n".join([heading, columns, *map(_row, points)])


def _row(point: Point) -> str:
    difference = point.ours - point.published
    mark = "" if point.holds else "  MISSES"
    return (
        f"  {point.weights:<8} {point.step:>6} {point.ours:>9.5f} {point.published:>9.5f}"
        f" {difference:>+10.5f} {point.distance:>+7.2f}{mark}"
    )


if __name__ == "__main__":
    main()
