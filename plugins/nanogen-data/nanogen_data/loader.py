"""From a dataset to batches: which examples make up global batch k, and one reader for any dataset and any task.

An epoch's order is a permutation keyed by (seed, epoch). Global batch `k` of `B` takes positions `k B ... (k + 1) B`
of the endless row of epochs, so that the place of a run in its data is the one number `k`, whatever came before it,
and whatever the number of worker processes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from nanogen_core.errors import DataError, NanoGenError, TrainingError
from nanogen_core.protocols import Examples
from nanogen_core.randomness import key
from nanogen_core.tensors import Batch, Condition
from nanogen_data.captions import choice
from nanogen_data.corrupt import LIMIT, CorruptionCounter, CorruptSample, CorruptSampleError, first_good
from nanogen_data.labels import checked
from nanogen_data.notes import warn_once
from nanogen_data.pictures import decode_image as decode_image
from nanogen_files.reading import is_folder, user_path

log = logging.getLogger(__name__)


class Example(NamedTuple):
    """What a dataset yields: a PIL image of any size, or a float tensor [3, S, S] in [-1, 1] that is ready.

    Several captions of one image are a tuple: each epoch takes one, keyed by (seed, epoch, index).

    Where they were computed before, the latents [V, C, h, w] of each variant of the image (mirrored or not: the number
    of its place chooses) stand in for it, and the token states [n, D] of each caption come along.
    """

    image: Image.Image | Tensor | None
    label: int | None = None
    caption: str | Sequence[str] | None = None
    latents: Tensor | None = None
    states: Tensor | Sequence[Tensor] | None = None


class Reading(NamedTuple):
    """How a task reads a split: its examples, and what it does to their images. What `nanogen data prepare` asks for.

    A transform that can be prepared has `variants`, a number: its answer then depends on `number % variants` alone.
    """

    examples: Examples
    transform: Transform


#: Makes a PIL image into a float tensor [3, S, S] in [-1, 1]. The 32-bit number is all the chance that it may use:
#: it is keyed by (seed, epoch, index), so an augmentation is the same for any batch size and worker count.
Transform = Callable[[Image.Image, int], Tensor]


class DataShard(NamedTuple):
    """This process among those that work on one global batch."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> DataShard:
        """As torchrun and accelerate's launcher say it in the environment; all of it where `undivided` holds."""
        if _UNDIVIDED.get():
            return cls()
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    def of(self, batch_size: int) -> range:
        """The contiguous slots of a global batch that fall to this process. Raises TrainingError for unequal parts."""
        size, rest = divmod(batch_size, self.world)
        if rest or not size:
            raise TrainingError(
                f"A batch of {batch_size} examples cannot be shared equally by {self.world} processes: "
                f"choose a batch size that is a multiple of {self.world}."
            )
        return range(self.rank * size, (self.rank + 1) * size)


_UNDIVIDED: ContextVar[bool] = ContextVar("undivided", default=False)


@contextmanager
def undivided() -> Iterator[None]:
    """Inside the block this process reads data as if it were alone: a metric's reference is the whole split."""
    token = _UNDIVIDED.set(True)
    try:
        yield
    finally:
        _UNDIVIDED.reset(token)


class Place(NamedTuple):
    """An example of the dataset as it comes up in one epoch, with the number that its augmentation draws from."""

    item: int
    number: int


class Order:
    """The endless row of epochs over `length` examples, each a permutation keyed by (seed, epoch)."""

    def __init__(self, length: int, seed: int):
        self.length = length
        self.seed = seed
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, position: int) -> Place:
        epoch, step = divmod(position, self.length)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, self._shuffled(epoch)
        index = int(self._permutation[step])
        return Place(index, key(self.seed, "augment", epoch, index))

    def _shuffled(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(key(self.seed, "order", epoch))
        return torch.randperm(self.length, generator=generator)


def loader(
    examples: Examples,
    batch_size: int,
    *,
    transform: Transform,
    seed: int = 0,
    start: int = 0,
    num_workers: int = 0,
    share: DataShard | None = None,
) -> Iterator[Batch]:
    """This process's part of the global batches `start`, `start + 1` ... without end, in an order keyed by `seed`.

    `batch_size` is that of the global batch. What lies before `start` is not read. `share` is this process among the
    others, by default as the environment says. Images come out as [B, 3, S, S] in [-1, 1]. Raises DataError for a
    dataset without examples and TrainingError for a batch that the processes cannot share equally.
    """
    _refuse_empty(examples)
    slots = (share or DataShard.here()).of(batch_size)
    order = Order(len(examples), seed)
    places = ([order[batch * batch_size + slot] for slot in slots] for batch in count(start))
    return _read(examples, places, transform, num_workers)


def iter_once(
    examples: Examples, batch_size: int, *, transform: Transform, num_workers: int = 0, share: DataShard | None = None
) -> Iterator[Batch]:
    """Every example exactly once over all processes, in the dataset's order; the last batch may be smaller.

    A process takes every `world`-th batch of `batch_size`. Of several captions one is taken, the same in every
    reading, which is logged. Raises DataError for a dataset without examples.
    """
    _refuse_empty(examples)
    rank, world = share or DataShard.here()
    firsts = range(rank * batch_size, len(examples), world * batch_size)
    spans = (range(first, min(first + batch_size, len(examples))) for first in firsts)
    return _read(
        examples, ([Place(index, key("once", index)) for index in span] for span in spans), transform, num_workers
    )


def data_folder(root: str | None, name: str) -> Path:
    """Where a dataset lies: `root` of its configuration, or the folder `name` under the variable NANOGEN_DATA.

    Raises DataError, which says what to set, where there is neither or no such folder.
    """
    home = os.environ.get("NANOGEN_DATA")
    if root is None and home is None:
        raise DataError(
            f"Nothing says where the data lies: set `dataset.root` to its folder, or the environment variable "
            f"NANOGEN_DATA to a folder that holds {name!r}."
        )
    folder = user_path(root) if root is not None else user_path(str(home)) / name
    if not is_folder(folder):
        source = "`dataset.root`" if root is not None else "the environment variable NANOGEN_DATA"
        raise DataError(f"There is no folder {folder}, which {source} names: put the data there or mend the setting.")
    return folder


def _refuse_empty(examples: Examples) -> None:
    if not len(examples):
        raise DataError("The dataset has no examples in this split: check the folder that its `root` names.")


def _read(examples: Examples, places: Iterable[list[Place]], transform: Transform, num_workers: int) -> Iterator[Batch]:
    batches: DataLoader[Any] = DataLoader(
        _Reader(examples, transform),  # type: ignore[arg-type]
        batch_sampler=_Places(places),
        collate_fn=_same,
        num_workers=num_workers,
        generator=torch.Generator(),  # or it would take its worker seed from the global state
    )
    tally = CorruptionCounter(len(examples), getattr(examples, "max_corrupt", LIMIT))
    for answer in batches:
        if isinstance(answer, NanoGenError):
            raise answer
        batch, bad = answer
        tally.add(bad)
        yield batch


def _same(batch: Any) -> Any:
    return batch


class _Places:
    """A batch sampler that a DataLoader accepts: it needs to be iterable, and no more."""

    def __init__(self, places: Iterable[list[Place]]):
        self._places = places

    def __iter__(self) -> Iterator[list[Place]]:
        return iter(self._places)


class _Reader:
    """Reads a batch's examples in a worker process, by `__getitems__` where the dataset has it."""

    def __init__(self, examples: Examples, transform: Transform):
        self._examples = examples
        self._transform = transform
        self._many = getattr(examples, "__getitems__", None)

    def __getitems__(self, places: list[Place]) -> tuple[Batch, list[CorruptSample]] | NanoGenError:
        bad: list[CorruptSample] = []
        try:
            return self._batch(*self._good(places, bad)), bad
        except NanoGenError as error:  # as a value: a worker's exception would arrive wrapped in its traceback
            return error

    def _good(self, places: list[Place], bad: list[CorruptSample]) -> tuple[list[Place], Sequence[Example]]:
        """The places and examples, another one in place of each bad one; its augmentation stays that of the place."""
        if self._many is not None:
            with suppress(CorruptSampleError):
                return places, self._many([place.item for place in places])
        length = len(self._examples)
        found = [first_good(self._examples.__getitem__, place.item, length, bad) for place in places]
        moved = [Place(item, place.number) for (item, _), place in zip(found, places, strict=True)]
        return moved, [example for _, example in found]  # type: ignore[misc]

    def _batch(self, places: list[Place], examples: Sequence[Example]) -> Batch:
        pairs = list(zip(examples, places, strict=True))
        images = [self._ready(image, place) for image, place in _column(pairs, "image")]
        latents = [rows[place.number % len(rows)] for rows, place in _column(pairs, "latents")]
        labels = [checked(label, None, f"example {place.item}") for label, place in _column(pairs, "label")]
        captions = [_caption(found, place) for found, place in _column(pairs, "caption")]
        states = [_states(found, place) for found, place in _column(pairs, "states")]
        return Batch(
            indices=torch.tensor([place.item for place in places]),
            images=torch.stack(images) if images else None,  # [B, 3, S, S]
            labels=torch.tensor(labels) if labels else None,
            captions=captions or None,
            latents=torch.stack(latents) if latents else None,  # [B, C, h, w]
            condition=_padded(states) if states else None,
        )

    def _ready(self, image: Image.Image | Tensor, place: Place) -> Tensor:
        return image if isinstance(image, Tensor) else self._transform(image, place.number)


def _column(pairs: Sequence[tuple[Example, Place]], name: str) -> list[tuple[Any, Place]]:
    """What the examples have under this name, which all of them have or none. Raises DataError for some alone: what is
    stacked would stand beside the wrong example."""
    found = [(value, place) for example, place in pairs if (value := getattr(example, name, None)) is not None]
    if found and len(found) < len(pairs):
        lacking = next(place.item for example, place in pairs if getattr(example, name, None) is None)
        raise DataError(
            f"Example {lacking} has no {name}, and others of its batch have one: give it to all or to none."
        )
    return found


def _caption(found: str | Sequence[str], place: Place) -> str:
    if not isinstance(found, str) and place.number == key("once", place.item):
        warn_once(log, "Images have several captions, and are read once here: one caption of each is taken throughout.")
    text = found if isinstance(found, str) else found[choice(found, place.number)]
    if not isinstance(text, str):
        raise DataError(f"The caption of example {place.item} is of type {type(text).__name__}: give a text.")
    return text


def _states(found: Tensor | Sequence[Tensor], place: Place) -> Tensor:
    return found if isinstance(found, Tensor) else found[choice(found, place.number)]


def _padded(states: Sequence[Tensor]) -> Condition:
    """Token states [n, D] of each text as a condition that is as long as the longest."""
    counts = torch.tensor([len(rows) for rows in states])  # [B]
    tokens = pad_sequence(list(states), batch_first=True)  # [B, L, D]
    return Condition(tokens, torch.arange(tokens.shape[1]) < counts[:, None])
