"""The command `python -m benchmarks.speed`: measures each row in its own process. Writes JSON and a table."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.speed import demo, sampling, starting, stored, training
from benchmarks.speed.timing import Row, as_json
from nanogen_core.errors import UnknownName, listing, near_miss
from nanogen_files import storage

PARTS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "step": training.steps,
    "bf16": training.bf16,
    "efficiency": training.efficiency,
    "texts": sampling.texts,
    "labels": sampling.labels,
    "meanflow": training.meanflow,
    "ema": training.average,
    "draws": training.draws,
    "data": stored.latents,
    "demo": demo.memory,
    "start": starting.start,
}


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help=f"Part to run, repeatable: {', '.join(PARTS)}.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/bench"), show_default=True)
@click.option(
    "--here", is_flag=True, hidden=True, help="Run in this process and print JSON; used by the command itself."
)
def main(only: tuple[str, ...], output: Path, here: bool) -> None:
    """Measure, and write OUTPUT/results.json and OUTPUT/table.md."""
    for name in only:
        if name not in PARTS:
            raise SystemExit(str(UnknownName(f"No part {name!r}.{near_miss(name, PARTS)} Parts: {listing(PARTS)}.")))
    names = only or tuple(PARTS)
    if here:
        click.echo(json.dumps([as_json(row) for row in PARTS[names[0]]()]))
        return
    rows = [row for name in names for row in _measured(name)]
    result = {"machine": machine(), "rows": rows}
    storage.write_json(output / "results.json", result)
    storage.write_text(output / "table.md", table(result))
    click.echo(table(result))
    sys.exit(0 if all(row["holds"] for row in rows) else 1)


def machine() -> dict[str, Any]:
    """Describe the machine."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "bf16 units": "avx512_bf16" in _flags() or "amx_bf16" in _flags(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def table(result: Mapping[str, Any]) -> str:
    """Return the machine and the rows as Markdown."""
    about = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    lines = [about, "", "| what | against | figure | bound | holds | MiB | measured |", "|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        figure = f"{row['figure']:.2f}{'' if row['unit'] == 'x' else ' '}{row['unit']}"
        holds = "yes" if row["holds"] else "NO"
        cells = [row["name"], row["against"], figure, row["bound"], holds, str(row["peak_mib"]), row["detail"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _measured(name: str) -> list[dict[str, Any]]:
    click.echo(f"{name} ...", err=True)
    command = [sys.executable, "-m", "benchmarks.speed", "--here", "--only", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _processor() -> str:
    lines = [line for line in _cpuinfo() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.processor() or platform.machine()


def _flags() -> list[str]:
    lines = [line for line in _cpuinfo() if line.startswith("flags")]
    return lines[0].split() if lines else []


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    main()
