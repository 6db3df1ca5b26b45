"""The training split encoded once and kept in memory: for small data and slow tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from nanogen_core.tensors import Batch
from nanogen_data.loader import DataShard, EpochOrder
from nanogen_train.distributed import processes


def encode_all(batches: Iterable[Batch], prepare: Callable[[Batch], Batch]) -> Batch:
    """One batch that holds every example of a finite reading in its order, with latents in place of images.

    Where several processes share the reading, each encodes its part, and all of them hold everything.
    """
    mine = _compact(prepare(batch) for batch in batches)
    parts = [part for of_rank in processes.gathered([part.to("cpu") for part in mine]) for part in of_rank]
    home = mine[0].latents.device if mine and mine[0].latents is not None else "cpu"
    joined: Batch = _joined(parts)
    return rows(joined, joined.indices.argsort().tolist()).to(home)


def _compact(parts: Iterable[Batch]) -> list[Batch]:
    """The parts, joined by twos, fours, eights as they come: few large ones. Many small ones, each kept where a batch
    of images lay before, leave no room there for the next: the process grew to three times the size."""
    found: list[tuple[int, Batch]] = []
    for part in parts:
        size = 1
        while found and found[-1][0] == size:
            size, part = 2 * size, _joined([found.pop()[1], part])
        found.append((size, part))
    return [part for _, part in found]


def loader(everything: Batch, batch_size: int, *, seed: int = 0, start: int = 0) -> Iterator[Batch]:
    """Endless global batches from `start` on, in the order of `nanogen_data.loader`."""
    order = EpochOrder(len(everything.indices), seed)
    slots = DataShard.here().of(batch_size)
    for number in count(start):
        yield rows(everything, [order[number * batch_size + slot].row for slot in slots])


def rows(batch: Batch, places: Sequence[int]) -> Batch:
    """The examples at these places of a batch."""
    return Batch(*(_at(value, list(places)) for value in batch))


def _at(value: Any, places: list[int]) -> Any:
    """The rows of whatever a batch holds: a tensor, texts, tensors by name or in a tuple, or nothing."""
    if value is None or isinstance(value, Tensor):
        return None if value is None else value[places]
    if isinstance(value, Mapping):
        return {name: _at(part, places) for name, part in value.items()}
    if hasattr(value, "_fields"):
        return type(value)(*(_at(part, places) for part in value))
    return [value[place] for place in places]


def _joined(values: Sequence[Any]) -> Any:
    """The rows of several such things one after the other."""
    first = values[0]
    if first is None or isinstance(first, Tensor):
        return None if first is None else torch.cat(list(values))
    if isinstance(first, Mapping):
        return {name: _joined([value[name] for value in values]) for name in first}
    if hasattr(first, "_fields"):
        return type(first)(*(_joined(parts) for parts in zip(*values, strict=True)))
    return [text for value in values for text in value]
