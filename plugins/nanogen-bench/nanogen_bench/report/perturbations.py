"""Section of perturbations: how much correlations vary over retrainings, compared with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen_bench.report import tables
from nanogen_bench.report.markup import Content, element
from nanogen_bench.report.tables import Head
from nanogen_core.errors import DataError
from nanogen_files import json_files

FILE = "perturbations.json"
Pair = Mapping[str, Any]
NUMBERS = ("estimate", "mean", "sd", "lowest", "highest")


def read(file: Path) -> dict[str, Any]:
    """Read `perturbations.json`. Raises DataError if it is damaged."""
    found = json_files.read_object(file)
    pairs, names = found.get("pairs"), found.get("perturbations")
    if not isinstance(names, list) or not isinstance(pairs, list) or not all(map(_valid, pairs)):
        raise DataError(
            f"{file.name} does not have the format of `nanogen bench mini`. Run the `nanogen bench mini` command of"
            " this folder again: it rewrites the file."
        )
    return found


def _valid(pair: Any) -> bool:
    if not isinstance(pair, dict) or not {"x", "y", "retrainings", "by_perturbation", "bootstrap", *NUMBERS} <= set(
        pair
    ):
        return False
    numbers = [pair[name] for name in NUMBERS] + list(pair["by_perturbation"].values())
    return all(value is None or isinstance(value, (int, float)) for value in numbers)


def perturbations(found: Mapping[str, Any], title: Callable[[str], str]) -> list[Content]:
    """Build the perturbations section: a row per pair of scores, with the mean agreement of each perturbation."""
    names: Sequence[str] = found["perturbations"]
    heads = [
        Head("Scores", text=True),
        Head("All models"),
        Head("Bootstrap interval"),
        Head("Retrainings: mean"),
        Head("standard deviation"),
        Head("lowest"),
        Head("highest"),
        *(Head("unperturbed" if name == names[0] else name) for name in names),
    ]
    text = element(
        "p",
        "A retraining trains all methods with one perturbation (or none) and one seed. It gives a Spearman correlation"
        " over the methods (+1: both scores rank them alike). A stable correlation varies little over"
        " retrainings, compared with its bootstrap interval over methods.",
    )
    rows = [_row(pair, names, title) for pair in found["pairs"]]
    return [text, tables.table(heads, rows, caption="Spearman agreement; perturbations: mean over seeds.")]


def _row(pair: Pair, names: Sequence[str], title: Callable[[str], str]) -> list[Content]:
    low, high = pair["bootstrap"] or (None, None)
    interval = "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return [
        tables.name(f"{title(pair['x'])} and {title(pair['y'])}"),
        tables.text(_number(pair["estimate"])),
        tables.text(interval),
        *(tables.text(_number(pair[name])) for name in ("mean", "sd", "lowest", "highest")),
        *(tables.text(_number(pair["by_perturbation"].get(name))) for name in names),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
