"""The command `python -m benchmarks.matrix`: train, evaluate and show every method on both tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks.matrix import cells, page, table
from benchmarks.matrix.cells import Plan
from benchmarks.matrix.order import Matrix, Record
from nanogen_core.errors import NanoGenError
from nanogen_files import storage
from nanogen_files.torchao_messages import hide_torchao_messages
from nanogen_train.trainer.loop import Interrupted


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Run this cell and the cells that it needs; repeatable.")
@click.option("--tasks", help="Tasks, separated by commas; by default all.")
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True, max=1), default=1.0, help="Fraction of the training steps."
)
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/matrix"), show_default=True)
@click.option("--cells", "file", type=click.Path(path_type=Path), default=cells.FILE, help="Plan file.")
@click.option("--budget", is_flag=True, help="Only print the expected time of the cells.")
def main(only: tuple[str, ...], tasks: str | None, scale: float, output: Path, file: Path, budget: bool) -> None:
    """Run or resume the matrix. Finished cells are skipped; failed cells are repeated."""
    hide_torchao_messages()
    try:
        plan = cells.read(file)
        chosen = tuple(tasks.split(",")) if tasks else plan.tasks
        names = plan.chosen(only)
        if budget:
            click.echo(_budget(plan, names, chosen))
            return
        failed = fill(Matrix(plan=plan, output=output, scale=scale), names, chosen)
    except Interrupted:
        _say("Stopped. The same command resumes.")
        sys.exit(Interrupted.exit_code)
    except NanoGenError as error:
        raise SystemExit(f"Error: {error}") from error
    sys.exit(1 if failed else 0)


def fill(matrix: Matrix, names: list[str], tasks: tuple[str, ...]) -> list[str]:
    """Run the cells, and write table and page after each. Returns the failed cells."""
    failed = []
    for record in matrix.run(names, tasks, say=_say, report=_progress):
        _say(f"  {_told(record)}")
        failed += [f"{record.task} {record.name}"] if record.error else []
        write(matrix)
    _say(f"Page: {matrix.output / 'report.html'}. Results: {matrix.output / 'results.csv'}.")
    return failed


def write(matrix: Matrix) -> None:
    records = matrix.records()
    storage.write_text(matrix.output / "results.csv", table.text(records))
    storage.write_text(matrix.output / "report.html", page.page(records))


def _told(record: Record) -> str:
    if record.figures is None:
        return f"failed: {record.error}"
    best = [row for row in record.figures["scores"] if row["network"] == "trained"]
    scores = "; ".join(", ".join(f"{name} {value}" for name, value in row["scores"].items()) for row in best)
    return f"{scores} ({record.figures['seconds']:.0f} s of training)"


def _budget(plan: Plan, names: list[str], tasks: tuple[str, ...]) -> str:
    lines = [f"{name:20}{plan.cells[name].steps:6} steps{plan.seconds(name):8.0f} s per task" for name in names]
    total = sum(plan.seconds(name) for name in names) * len(tasks) / 60
    return "\n".join([*lines, f"{total:.1f} minutes for {len(tasks)} tasks on two cores"])


def _progress(step: int, scalars: object) -> None:
    if step % 200 == 0:
        _say(f"  step {step}")


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
