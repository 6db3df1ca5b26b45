"""The command `nanogen bench audit`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nanogen_bench.audit.lines import Audit, Line

WIDTH = 34  # maximum number of characters of a value
STYLE = (
    "text{font:11px sans-serif}line{stroke:#ccc}polyline{fill:none;stroke-width:1.5}"
    ".c0{stroke:#0b62a4}.c1{stroke:#c2410c;stroke-dasharray:5 3}"
)


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, including the curves.")
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for SVG plots of the curves.")
def audit(run_a: Path, run_b: Path, as_json: bool, plots: Path | None) -> None:
    """Compare the trainings of RUN_A and RUN_B. They should differ only in the task.

    Prints each comparison with its rule. The exit status is 1 if the trainings differ in anything else.
    """
    from nanogen_bench.audit.compare import audit as compare

    found = compare(run_a, run_b)
    if plots:
        _draw(found, plots)
    click.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if as_json else _text(found))
    raise SystemExit(0 if found.equal else 1)


def _text(found: Audit) -> str:
    heads = ["verdict", "line", f"{found.first} ({found.tasks[0]})", f"{found.second} ({found.tasks[1]})", "rule"]
    rows = [heads, *([line.verdict, line.name, *_values(line), line.rule] for line in found.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(f"{c:{w}}" for c, w in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows]
    changed = [f"{line.key}: {_shown(line.first)} -> {_shown(line.second)}" for line in found.configuration]
    return "\n".join([*table, "", "Options that differ:", *(changed or ["none"]), "", found.verdict])


def _values(line: Line) -> tuple[str, str]:
    return _short(line.first), _short(line.second)


def _short(value: Any) -> str:
    text = f"{value:.5g}" if isinstance(value, float) else "not logged" if value is None else _shown(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _draw(found: Audit, folder: Path) -> None:
    from nanogen_bench.cli.replacing import refuse_foreign
    from nanogen_bench.report.curves import curves
    from nanogen_files import storage

    drawings = {name: curves(name, pair, found.tasks) for name, pair in found.curves.items()}
    files = {
        folder / f"{name.replace('/', '-')}.svg": _standalone(drawing) for name, drawing in drawings.items() if drawing
    }
    for file in files:
        refuse_foreign(file, re.escape(STYLE), "bench audit")
    for file, text in files.items():
        storage.write_text(file, text)


def _standalone(drawing: str) -> str:
    """Make an SVG file from a plot of the report page, by adding namespace and style."""
    opening, rest = drawing.split(">", 1)
    named = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{named}><style>{STYLE}</style>{rest}"
