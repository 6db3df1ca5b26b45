"""Contact sheet of a cell: real drawings in the first row, samples for the same conditions below."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from nanogen_core.pipeline import Pipeline
from nanogen_files.images import grid, to_pil

COLUMNS, TILE = 8, 64
SEEDS = 3  # rows of samples for a single number of steps


def rows(steps: Sequence[int]) -> list[tuple[int, int]]:
    """Return steps and seed of each row: one row per number of steps, or several seeds for a single number."""
    return [(number, 0) for number in steps] if len(steps) > 1 else [(steps[0], seed) for seed in range(SEEDS)]


def legend(steps: Sequence[int]) -> str:
    """Describe the rows."""
    words = [f"{number} step{'s' * (number > 1)}" for number in steps]
    return f"real drawings, then samples in {', '.join(words)}"


def sheet(pipeline: Pipeline, steps: Sequence[int]) -> Image.Image:
    """Return a sheet of `COLUMNS` conditions, evenly spaced over the held-out drawings."""
    held_out = next(pipeline.task.iter_once("val", 64))
    chosen = torch.linspace(0, len(held_out.indices) - 1, COLUMNS).long().tolist()
    words = [pipeline.task.captions(held_out)[row] for row in chosen]
    pictures = to_pil(held_out.images[chosen])
    for number, seed in rows(steps):
        pictures += pipeline.generate(words, steps=number, seed=seed)
    captions = words + [""] * (len(pictures) - COLUMNS)
    return grid(pictures, captions, columns=COLUMNS, tile=TILE)
