"""The picture of a cell: real drawings in the first row, samples for the same conditions below."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from nanogen_core.pipeline import Pipeline
from nanogen_files.images import grid, to_pil

COLUMNS, TILE = 8, 64
SEEDS = 3  # rows of samples, where there is one number of steps


def rows(steps: Sequence[int]) -> list[tuple[int, int]]:
    """Steps and seed of each row: one row for each number of steps, or several seeds of the only one."""
    return [(number, 0) for number in steps] if len(steps) > 1 else [(steps[0], seed) for seed in range(SEEDS)]


def legend(steps: Sequence[int]) -> str:
    """What the rows are, in words."""
    words = [f"{number} step{'s' * (number > 1)}" for number in steps]
    return f"real drawings, then samples in {', '.join(words)}"


def sheet(pipeline: Pipeline, steps: Sequence[int]) -> Image.Image:
    """A sheet of `COLUMNS` conditions from all over the held-out drawings, captioned in its first row."""
    held_out = next(pipeline.task.iter_once("val", 64))
    chosen = torch.linspace(0, len(held_out.indices) - 1, COLUMNS).long().tolist()
    words = [pipeline.task.captions(held_out)[row] for row in chosen]
    pictures = to_pil(held_out.images[chosen])
    for number, seed in rows(steps):
        pictures += pipeline.generate(words, steps=number, seed=seed)
    captions = words + [""] * (len(pictures) - COLUMNS)
    return grid(pictures, captions, columns=COLUMNS, tile=TILE)
