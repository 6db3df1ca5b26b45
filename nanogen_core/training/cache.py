"""The training split encoded once and kept in memory: for small data and slow tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count

import torch

from nanogen_core.data import Order, Share
from nanogen_core.tensors import Batch


def encode_all(batches: Iterable[Batch], prepare: Callable[[Batch], Batch]) -> Batch:
    """One batch that holds every example of a finite reading, with latents in place of images."""
    parts = [prepare(batch) for batch in batches]
    first = parts[0]
    return Batch(
        indices=torch.cat([part.indices for part in parts]),
        labels=None if first.labels is None else torch.cat([part.labels for part in parts if part.labels is not None]),
        captions=None if first.captions is None else [text for part in parts for text in part.captions or ()],
        latents=torch.cat([part.latents for part in parts if part.latents is not None]),  # [N, C, h, w]
        extras={name: torch.cat([part.extras[name] for part in parts]) for name in first.extras},
    )


def loader(everything: Batch, batch_size: int, *, seed: int = 0, start: int = 0) -> Iterator[Batch]:
    """Global batches from `start` on, without end, in the order in which `data.loader` would read the images."""
    order = Order(len(everything.indices), seed)
    slots = Share.here().of(batch_size)
    for number in count(start):
        yield _rows(everything, [order[number * batch_size + slot].item for slot in slots])


def _rows(everything: Batch, rows: list[int]) -> Batch:
    chosen = torch.tensor(rows, device=everything.indices.device)
    return Batch(
        indices=everything.indices[chosen],
        labels=None if everything.labels is None else everything.labels[chosen],
        captions=None if everything.captions is None else [everything.captions[row] for row in rows],
        latents=None if everything.latents is None else everything.latents[chosen],
        extras={name: value[chosen] for name, value in everything.extras.items()},
    )
