"""In-memory cache of the training split's latents, for small data and slow tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard, epoch_order
from nanogen_data.mixture import Mixing
from nanogen_train.distributed import processes


def encode_all(batches: Iterable[Batch], prepare: Callable[[Batch], Batch]) -> Batch:
    """Encode a split and return it as one batch, in dataset order.

    Each process encodes its share; all of them return the whole split.

    Args:
        batches: One pass over this process's share of the split.
        prepare: Adds the latents to a batch. Removes the images unless a part needs them.
    """
    own_batches = _merge(prepare(batch) for batch in batches)
    parts = [part for of_rank in processes.all_gather([part.to("cpu") for part in own_batches]) for part in of_rank]
    device = own_batches[0].latents.device if own_batches and own_batches[0].latents is not None else "cpu"
    whole_split: Batch = _concatenate(parts)
    return rows(whole_split, whole_split.indices.argsort().tolist()).to(device)


def _merge(parts: Iterable[Batch]) -> list[Batch]:
    """Merge batches pairwise into few large ones. Many small tensors fragment the memory: without this, the process
    grew to three times the size.
    """
    merged: list[tuple[int, Batch]] = []
    for part in parts:
        size = 1
        while merged and merged[-1][0] == size:
            size, part = 2 * size, _concatenate([merged.pop()[1], part])
        merged.append((size, part))
    return [part for _, part in merged]


def loader(
    split: Batch, batch_size: int, *, seed: int = 0, start: int = 0, mixing: Mixing | None = None
) -> Iterator[Batch]:
    """Yield this process's share of each global batch, without end, in the order of `nanogen_data.loader`.

    Args:
        split: The cached split.
        batch_size: Size of the global batch.
        seed: Seed of the order.
        start: Index of the first global batch.
        mixing: Sizes and weights of the dataset's roots, if there are several.
    """
    order = epoch_order(len(split.indices), seed, mixing)
    slots = DataShard.here().of(batch_size)
    for number in count(start):
        yield rows(split, [order[number * batch_size + slot].row for slot in slots])


def rows(batch: Batch, indices: Sequence[int]) -> Batch:
    """Return some rows of a batch. `indices` are row numbers, not values of `batch.indices`."""
    return Batch(*(_select(value, list(indices)) for value in batch))


def _select(value: Any, indices: list[int]) -> Any:
    """Select rows of a field: a tensor, a list, a mapping or named tuple of tensors, or None."""
    if value is None or isinstance(value, Tensor):
        return None if value is None else value[indices]
    if isinstance(value, Mapping):
        return {name: _select(part, indices) for name, part in value.items()}
    if hasattr(value, "_fields"):
        return type(value)(*(_select(part, indices) for part in value))
    return [value[index] for index in indices]


def _concatenate(values: Sequence[Any]) -> Any:
    """Concatenate the rows of several values of a field."""
    first = values[0]
    if first is None or isinstance(first, Tensor):
        return None if first is None else torch.cat(list(values))
    if isinstance(first, Mapping):
        return {name: _concatenate([value[name] for value in values]) for name in first}
    if hasattr(first, "_fields"):
        return type(first)(*(_concatenate(parts) for parts in zip(*values, strict=True)))
    return [text for value in values for text in value]
