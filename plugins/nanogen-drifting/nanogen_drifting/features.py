"""Features in which samples drift, at several scales (arXiv 2602.04770, section A.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nanogen_align.grids import as_map, as_tokens
from nanogen_align.teacher import Teacher, teacher_of
from nanogen_core.protocols import Tokenizer

Features = Callable[[Tensor], dict[str, Tensor]]  # latents [n, C, h, w] -> vectors [n, T, D] by name

PATCHES = (2, 4)  # sides of the squares that are pooled
EPS = 1e-6


def multi_scale(name: str, maps: Tensor) -> dict[str, Tensor]:
    """Return vectors [n, T, D] of feature maps [n, D, h, w], by name.

    The vectors are the features at each location, and their mean and standard deviation over the whole map and over
    squares of 2 x 2 and 4 x 4 locations. Squares are used if they tile the map and are smaller than both of its sides.
    """
    found = {name: as_tokens(maps)}
    height, width = maps.shape[-2:]
    sides = [side for side in PATCHES if height % side == width % side == 0 and min(height, width) > side]
    for label, rows, columns in [("", height, width), *((str(side), side, side) for side in sides)]:
        n, width, high, wide = maps.shape
        squares = maps.reshape(n, width, high // rows, rows, wide // columns, columns)
        squares = squares.transpose(3, 4).flatten(4).flatten(2, 3)  # [n, D, h' w', rows columns]
        found[f"{name}.mean{label}"] = squares.mean(dim=3).mT
        found[f"{name}.std{label}"] = (squares.var(dim=3, correction=0) + EPS).sqrt().mT
    return found


def of_latents(latents: Tensor) -> dict[str, Tensor]:
    """Return features of latents [n, C, h, w]: `multi_scale`, the whole latent, and the RMS of each channel."""
    norm = (latents.square().mean(dim=(2, 3)) + EPS).sqrt()
    return {**multi_scale("latent", latents), "latent.whole": latents.flatten(1)[:, None], "latent.norm": norm[:, None]}


class EncoderFeatures:
    """Decodes latents, encodes the images with a vision encoder, and returns `multi_scale` features of its tokens.

    Gradients reach the latents.

    Args:
        named: Name of a vision encoder, or a mapping with its `name` and options.
        tokenizer: Decodes the latents.
    """

    def __init__(self, named: str | Mapping[str, Any], tokenizer: Tokenizer):
        self._teacher: Teacher = teacher_of(named, "stage.features")
        self._tokenizer = tokenizer

    def __call__(self, latents: Tensor) -> dict[str, Tensor]:
        tokens = self._teacher.patches(self._tokenizer.decode(latents))  # [n, N, D]
        return multi_scale("encoder", as_map(tokens.float()))


def combined(parts: list[Features]) -> Features:
    """Return a function that computes the features of all parts."""
    return lambda latents: {name: vectors for part in parts for name, vectors in part(latents).items()}


def in_rows(vectors: Tensor, rows: int) -> Tensor:
    """Split each row of K samples into one row per location: [rows * K, T, D] to [rows * T, K, D]."""
    return vectors.reshape(rows, -1, *vectors.shape[1:]).transpose(1, 2).flatten(0, 1)


def repeated(weights: Tensor, locations: int) -> Tensor:
    """Repeat the weights [rows, K] for each location: [rows * locations, K]."""
    return torch.repeat_interleave(weights, locations, dim=0)
