"""Measurements of precomputed latents, see benchmarks/data.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import data
from benchmarks.speed.timing import Row

BOUNDS = {"latent shards": 3_000.0, "tiny VAE": 1.2, "sd VAE": 5.0, "memory": 0.9}


def latents() -> Iterator[Row]:
    """Yield each row of benchmarks.data, with a bound."""
    for row in data.rows():
        kind = next((word for word in BOUNDS if word in row["name"]), None)
        yield _row(row, kind)


def _row(row: dict[str, Any], kind: str | None) -> Row:
    rate = kind == "latent shards"
    return Row(
        name=row["name"],
        against="" if rate else f"{row['other']:.0f} {row['unit']}",
        figure=row["ours"] if rate else row["ratio"],
        unit=row["unit"] if rate else "x",
        at_least=None if kind is None else BOUNDS[kind],
        detail=f"{row['ours']:.0f} {row['unit']}",
        peak_mib=row["peak_rss"],
    )
