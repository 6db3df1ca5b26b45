"""Shuffled, resumable batches for any dataset and task.

An epoch is a permutation of the examples, keyed by (seed, epoch). If the option `dataset.roots` names several sources
of data (roots), `nanogen_data.mixture` defines the epochs.

Global batch k of size B takes positions k * B to (k + 1) * B - 1 of the concatenated epochs. For given data, a batch
therefore depends only on the seed, B and k, not on the number of processes and workers.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import accumulate, count
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
from nanogen_data.captions import MissingCaptions, choice, missing_of
from nanogen_data.corrupt import DEFAULT_LIMIT, CorruptionCounter, CorruptSample, CorruptSampleError, first_good
from nanogen_data.labels import checked
from nanogen_data.mixture import Mixing, mixing_of
from nanogen_data.notes import warn_once
from nanogen_data.pictures import decode_image as decode_image
from nanogen_data.streams import refuse_stream
from nanogen_files.errors import counted
from nanogen_files.reading import is_folder, user_path

log = logging.getLogger(__name__)


class Example(NamedTuple):
    """An example of a dataset.

    Precomputed examples have latents in place of the image.

    Args:
        image: PIL image of any size, or a transformed float tensor [3, S, S] in [-1, 1]. None if precomputed.
        label: Class index.
        caption: One caption, or several. `SampleRef.number` then selects the one to use.
        latents: Precomputed latents [V, C, h, w] of the V variants of the image, such as original and mirrored.
        states: Precomputed states [n, D] of the n unmasked tokens of the caption, or a sequence with one tensor per
            caption. If the conditioner reads images, the sequence has the states of all captions for the first variant
            of the image, then for the second, and so on.
    """

    image: Image.Image | Tensor | None
    label: int | None = None
    caption: str | Sequence[str] | None = None
    latents: Tensor | None = None
    states: Tensor | Sequence[Tensor] | None = None


class Reading(NamedTuple):
    """The examples and image transform that a task uses for a split, for `nanogen data prepare`.

    To precompute latents, the transform must have an integer attribute `variants`. Its output for (image, number) must
    depend only on the image and on `number % variants`.
    """

    examples: Examples
    transform: Transform


#: Makes a float tensor [3, S, S] in [-1, 1] from a PIL image. The 32-bit number is its only source of randomness.
#: It is keyed by (seed, epoch, index), so augmentations are the same for any batch size and number of workers.
Transform = Callable[[Image.Image, int], Tensor]


class DataShard(NamedTuple):
    """The share of a global batch that a process reads.

    Args:
        rank: Index of the process.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> DataShard:
        """Return the shard of this process, from RANK and WORLD_SIZE. Inside `unsharded()`, it is the whole batch."""
        if _UNSHARDED.get():
            return cls()
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    def of(self, batch_size: int) -> range:
        """Return the positions in a global batch that this process reads. Raises TrainingError for unequal shares."""
        size, rest = divmod(batch_size, self.world)
        if rest or not size:
            raise TrainingError(
                f"A batch of {counted(batch_size, 'example')} cannot be split equally over {self.world} processes: "
                f"choose a batch size that is a multiple of {self.world}."
            )
        return range(self.rank * size, (self.rank + 1) * size)


_UNSHARDED: ContextVar[bool] = ContextVar("unsharded", default=False)


@contextmanager
def unsharded() -> Iterator[None]:
    """Let this process read whole batches inside the block, for example for a metric's reference data."""
    token = _UNSHARDED.set(True)
    try:
        yield
    finally:
        _UNSHARDED.reset(token)


class SampleRef(NamedTuple):
    """Reference to an example in an epoch.

    Args:
        row: Index in the dataset.
        number: Random 32-bit number for the augmentation and the choice of a caption. In training, it is keyed by
            (seed, epoch, index), or as in `MixedOrder` for several roots. In `iter_once`, it is keyed by the index.
    """

    row: int
    number: int


class EpochOrder:
    """The concatenated epochs over a dataset, each a permutation keyed by (seed, epoch).

    Args:
        length: Number of examples.
        seed: Seed of the run.
    """

    def __init__(self, length: int, seed: int):
        self.length = length
        self.seed = seed
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, position: int) -> SampleRef:
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch:
            self._epoch, self._permutation = epoch, self._shuffled(epoch)
        return self._ref(epoch, int(self._permutation[offset]))

    def _shuffled(self, epoch: int) -> Tensor:
        return _permutation(self.length, self.seed, "order", epoch)

    def _ref(self, epoch: int, slot: int) -> SampleRef:
        return SampleRef(slot, key(self.seed, "augment", epoch, slot))


class MixedOrder(EpochOrder):
    """The concatenated epochs over several roots, see `nanogen_data.mixture`.

    The random number of a draw is keyed by (seed, pass, index), where `pass` counts the earlier draws of the example.

    Args:
        mixing: Sizes and weights of the roots.
        seed: Seed of the run.
    """

    def __init__(self, mixing: Mixing, seed: int):
        super().__init__(sum(mixing.sizes), seed)
        self._sizes, self._starts, self._quotas = mixing.sizes, mixing.starts, mixing.quotas
        self._firsts = list(accumulate(self._quotas, initial=0))[:-1]  # slot of the first draw of each root
        self._rows = torch.empty(0, dtype=torch.int64)

    def _shuffled(self, epoch: int) -> Tensor:
        self._rows = torch.cat([self._draws(root, epoch) for root in range(len(self._sizes))])  # [N]
        return super()._shuffled(epoch)

    def _draws(self, root: int, epoch: int) -> Tensor:
        """Return the examples that an epoch draws of a root, as indices in the dataset [quota]."""
        size, quota = self._sizes[root], self._quotas[root]
        begin, end = epoch * quota, (epoch + 1) * quota
        passes = range(begin // size, -(-end // size))
        whole = torch.cat([_permutation(size, self.seed, "order", root, number) for number in passes])
        first = begin - passes.start * size
        return whole[first : first + quota] + self._starts[root]

    def _ref(self, epoch: int, slot: int) -> SampleRef:
        root = bisect_right(self._firsts, slot) - 1
        draw = epoch * self._quotas[root] + slot - self._firsts[root]
        row = int(self._rows[slot])
        return SampleRef(row, key(self.seed, "augment", draw // self._sizes[root], row))


def epoch_order(length: int, seed: int, mixing: Mixing | None = None) -> EpochOrder:
    """Return the order in which training reads the examples.

    Args:
        length: Number of examples.
        seed: Seed of the run.
        mixing: Sizes and weights of the roots, if there are several.

    Raises:
        DataError: A root would never be drawn.
    """
    if mixing is None:
        return EpochOrder(length, seed)
    warn_once(log, f"Training draws from {mixing}")
    return MixedOrder(mixing, seed)


def _permutation(length: int, *words: object) -> Tensor:
    generator = torch.Generator().manual_seed(key(*words))
    return torch.randperm(length, generator=generator)


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
    """Yield this process's share of the global batches `start`, `start + 1`, ... without end.

    Args:
        examples: The dataset split.
        batch_size: Size of the global batch.
        transform: Function (PIL image, random number) -> image tensor [3, S, S] in [-1, 1].
        seed: Seed of the order and the augmentation.
        start: Index of the first global batch. Earlier batches are not read.
        num_workers: Number of worker processes that read data. With 0, this process reads them.
        share: Shard of this process; by default from the environment.

    Raises:
        DataError: The split is empty or a stream, or a root would never be drawn. Also raised while iterating, if an
            example is invalid or too many are corrupt.
        TrainingError: The processes cannot share the batch equally.
    """
    _refuse_unusable(examples)
    slots = (share or DataShard.here()).of(batch_size)
    order = epoch_order(len(examples), seed, mixing_of(examples))
    refs = ([order[batch * batch_size + slot] for slot in slots] for batch in count(start))
    return _read(examples, refs, transform, num_workers)


def iter_once(
    examples: Examples, batch_size: int, *, transform: Transform, num_workers: int = 0, share: DataShard | None = None
) -> Iterator[Batch]:
    """Yield this process's share of one pass over a split, in the order of the dataset.

    The shares together have every example once, except that the next good example replaces a corrupt one. If an example
    has several captions, one fixed caption is used, and this is logged. The last batch may be smaller.

    Args:
        examples: The dataset split.
        batch_size: Size of a batch. A process takes every `world`-th batch.
        transform: Function (PIL image, random number) -> image tensor [3, S, S] in [-1, 1].
        num_workers: Number of worker processes that read data. With 0, this process reads them.
        share: Shard of this process; by default from the environment.

    Raises:
        DataError: The split is empty or a stream. Also raised while iterating, if an example is invalid or too many are
            corrupt.
    """
    _refuse_unusable(examples)
    rank, world = share or DataShard.here()
    firsts = range(rank * batch_size, len(examples), world * batch_size)
    spans = (range(first, min(first + batch_size, len(examples))) for first in firsts)
    return _read(
        examples, ([SampleRef(index, key("once", index)) for index in span] for span in spans), transform, num_workers
    )


def data_folder(root: str | None, name: str) -> Path:
    """Return the folder of a dataset.

    Args:
        root: Option `dataset.root`, or None to use the folder `name` in NANOGEN_DATA.
        name: Name of the dataset's folder in NANOGEN_DATA.

    Raises:
        DataError: Neither `root` nor NANOGEN_DATA is set, or the folder does not exist.
    """
    data_root = os.environ.get("NANOGEN_DATA")
    if root is None and data_root is None:
        raise DataError(
            f"The data folder is not set: set `dataset.root`, or set the environment variable "
            f"NANOGEN_DATA to a folder that contains {name!r}."
        )
    folder = user_path(root) if root is not None else user_path(str(data_root)) / name
    if not is_folder(folder):
        source = "`dataset.root`" if root is not None else "the environment variable NANOGEN_DATA"
        raise DataError(
            f"The folder {folder.absolute()}, from {source}, does not exist: put the data there, or correct the path."
        )
    return folder


def _refuse_unusable(examples: Examples) -> None:
    """Raise DataError for a stream and for an empty split."""
    refuse_stream(examples)
    if not len(examples):
        raise DataError("The dataset has no examples in this split: check that `dataset.root` names the right data.")


def _read(
    examples: Examples, refs: Iterable[list[SampleRef]], transform: Transform, num_workers: int
) -> Iterator[Batch]:
    batches: DataLoader[Any] = DataLoader(
        _Reader(examples, transform),  # type: ignore[arg-type]
        batch_sampler=_RefSampler(refs),
        collate_fn=_identity,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),  # copies to the GPU then overlap with computation
        generator=torch.Generator(),  # keeps the global random state unchanged
    )
    counter = CorruptionCounter(len(examples), getattr(examples, "max_corrupt", DEFAULT_LIMIT))
    missing = MissingCaptions()
    for result in batches:
        if isinstance(result, NanoGenError):
            raise result
        batch, corrupt, captions = result
        counter.add(corrupt)
        missing.add(captions)
        yield batch


def _identity(batch: Any) -> Any:
    return batch


class _RefSampler:
    """Iterable that serves as batch sampler of a DataLoader."""

    def __init__(self, refs: Iterable[list[SampleRef]]):
        self._refs = refs

    def __iter__(self) -> Iterator[list[SampleRef]]:
        return iter(self._refs)


class _Reader:
    """Reads the examples of a batch in a worker process; uses `__getitems__` if the dataset has it."""

    def __init__(self, examples: Examples, transform: Transform):
        self._examples = examples
        self._transform = transform
        self._get_many = getattr(examples, "__getitems__", None)
        self._mixing = mixing_of(examples)

    def __getitems__(
        self, refs: list[SampleRef]
    ) -> tuple[Batch, list[CorruptSample], list[tuple[str, ...]]] | NanoGenError:
        """Return the batch, its corrupt samples, and the missing caption keys of each example."""
        corrupt: list[CorruptSample] = []
        try:
            refs, examples = self._good(refs, corrupt)
            missing = [missing_of(getattr(each, "caption", None)) for each in examples]
            return self._batch(refs, examples), corrupt, missing
        except NanoGenError as error:  # returned, because DataLoader would wrap a raised error
            return error

    def _good(self, refs: list[SampleRef], corrupt: list[CorruptSample]) -> tuple[list[SampleRef], Sequence[Example]]:
        """Read the examples. Each corrupt one is replaced by the next good one, with the same augmentation number."""
        if self._get_many is not None:
            with suppress(CorruptSampleError):
                return refs, self._get_many([ref.row for ref in refs])
        values = [first_good(self._examples.__getitem__, ref.row, self._replacements(ref.row), corrupt) for ref in refs]
        moved = [SampleRef(index, ref.number) for (index, _), ref in zip(values, refs, strict=True)]
        return moved, [example for _, example in values]  # type: ignore[misc]

    def _replacements(self, row: int) -> range:
        """Return the indices of the examples of the same root, which may replace a corrupt one."""
        return range(len(self._examples)) if self._mixing is None else self._mixing.rows(row)

    def _batch(self, refs: list[SampleRef], examples: Sequence[Example]) -> Batch:
        pairs = list(zip(examples, refs, strict=True))
        images = [self._image(image, ref) for image, ref in _column(pairs, "image")]
        latents = [rows[ref.number % len(rows)] for rows, ref in _column(pairs, "latents")]
        labels = [checked(label, None, f"example {ref.row}") for label, ref in _column(pairs, "label")]
        captions = [_caption(captions, ref) for captions, ref in _column(pairs, "caption")]
        has_states = bool(_column(pairs, "states"))  # refuses a batch in which some examples have none
        states = [_states(example, ref) for example, ref in pairs] if has_states else []
        return Batch(
            indices=torch.tensor([ref.row for ref in refs]),
            images=torch.stack(images) if images else None,  # [B, 3, S, S]
            labels=torch.tensor(labels) if labels else None,
            captions=captions or None,
            latents=torch.stack(latents) if latents else None,  # [B, C, h, w]
            condition=_padded(states) if states else None,
        )

    def _image(self, image: Image.Image | Tensor, ref: SampleRef) -> Tensor:
        return image if isinstance(image, Tensor) else self._transform(image, ref.number)


def _column(pairs: Sequence[tuple[Example, SampleRef]], name: str) -> list[tuple[Any, SampleRef]]:
    """Return the values of a field of all examples; empty if none has it.

    Raises:
        DataError: Only some examples have the field, so stacking would misalign them.
    """
    values = [(value, ref) for example, ref in pairs if (value := getattr(example, name, None)) is not None]
    if values and len(values) < len(pairs):
        missing = next(ref.row for example, ref in pairs if getattr(example, name, None) is None)
        raise DataError(
            f"Example {missing} has no {name}, but others of its batch do: provide it for all examples or for none."
        )
    return values


def _caption(captions: str | Sequence[str], ref: SampleRef) -> str:
    if not isinstance(captions, str) and len(captions) > 1 and ref.number == key("once", ref.row):
        warn_once(log, "Images have several captions. This pass uses one fixed caption of each.")
    text = captions if isinstance(captions, str) else captions[choice(captions, ref.number)]
    if not isinstance(text, str):
        raise DataError(f"The caption of example {ref.row} is of type {type(text).__name__}: use a string.")
    return text


def _states(example: Example, ref: SampleRef) -> Tensor:
    """Return the token states of the variant and caption that an epoch uses."""
    states = example.states
    assert states is not None
    if isinstance(states, Tensor):
        return states
    captions = 1 if example.caption is None or isinstance(example.caption, str) else len(example.caption)
    variant = 0 if example.latents is None or len(states) == captions else ref.number % len(example.latents)
    return states[variant * captions + choice(example.caption or "", ref.number)]


def _padded(states: Sequence[Tensor]) -> Condition:
    """Pad token states [n, D] to the longest and return them as a condition."""
    counts = torch.tensor([len(rows) for rows in states])  # [B]
    tokens = pad_sequence(list(states), batch_first=True)  # [B, L, D]
    return Condition(tokens, torch.arange(tokens.shape[1]) < counts[:, None])
