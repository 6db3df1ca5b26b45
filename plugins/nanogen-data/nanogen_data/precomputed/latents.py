"""Prepared latents as the examples of a split: any one by its number, in memory that does not grow with them."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import Example
from nanogen_data.precomputed.manifest import Manifest
from nanogen_data.precomputed.members import unpack
from nanogen_data.precomputed.shards import ENTRY, Shard
from nanogen_files.hashing import file_hash

KEPT_OPEN = 128  # files


class Latents:
    """As many examples as the source had, in its order: a bad one is bad here too, so that training on latents sees
    what training on pixels would have seen.

    Each process compares the SHA-256 of a shard with the manifest's when it first reads from it.
    """

    max_corrupt = 1.0  # they were judged when they were prepared

    def __init__(self, folder: Path, manifest: Manifest):
        self._length, self._size = manifest.examples, manifest.shard_size
        self._shards = [Shard(folder, number) for number in range(len(manifest.shards))]
        self._facts = manifest.shards
        self._verified: set[int] = set()
        self._files = OpenFiles(most_open())
        for shard, facts in zip(self._shards, manifest.shards, strict=True):
            _refuse_other_size(shard.tar, facts["bytes"])
            _refuse_other_size(shard.index, facts["examples"] * ENTRY.size)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """Raises BadExample where the source's was bad, DataError for a damaged shard."""
        number, row = divmod(index, self._size)
        shard = self._shards[number]
        self._verify(number)
        offset, size = ENTRY.unpack(self._files.read(shard.index, row * ENTRY.size, ENTRY.size))
        if not size:
            raise _bad(shard, index)
        try:
            example = unpack(self._files.read(shard.tar, offset, size))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
            raise _damaged(shard.tar, f"at byte {offset} (example {index})", shard) from error
        _refuse_nonfinite(example, shard, index)
        return example

    def _verify(self, number: int) -> None:
        """Raises DataError where a shard is not the one that the manifest lists."""
        if number in self._verified:
            return
        shard, facts = self._shards[number], self._facts[number]
        for file, expected in ((shard.tar, facts["tar"]), (shard.index, facts["index"])):
            if file_hash(file) != expected:
                raise _damaged(file, "(its SHA-256 is not that of the manifest)", shard)
        self._verified.add(number)


def most_open() -> int:
    """How many files may stay open: a quarter of what the system allows this process."""
    try:
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):  # a system without such limits
        return KEPT_OPEN
    return KEPT_OPEN if allowed < 0 else max(1, min(KEPT_OPEN, allowed // 4))


class OpenFiles:
    """Reads pieces of many files, the last used of which stay open. A piece is read without moving any place in a file,
    so forked processes can share them."""

    def __init__(self, most: int):
        self._most = most
        self._open: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, offset: int, size: int) -> bytearray:
        """`size` bytes from `offset` on, or as many as there are."""
        data = bytearray(size)
        count = os.preadv(self._descriptor(path), [data], offset)
        return data if count == size else data[:count]

    def _descriptor(self, path: Path) -> int:
        if path not in self._open:
            if len(self._open) == self._most:
                os.close(self._open.popitem(last=False)[1])
            self._open[path] = os.open(path, os.O_RDONLY)
        self._open.move_to_end(path)
        return self._open[path]

    def __getstate__(self) -> dict[str, object]:
        return {"_most": self._most, "_open": OrderedDict()}  # another process opens its own

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


def _refuse_other_size(path: Path, expected: int) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != expected:
        what = "is missing" if size is None else f"has {size} bytes, and its manifest says {expected}"
        raise DataError(f"{path} {what}: copy it again, or prepare the latents again.")


def _damaged(file: Path, how: str, shard: Shard) -> DataError:
    return DataError(
        f"{file} is damaged {how}: copy it again, or delete it with {shard.record.name} and call `nanogen data prepare`"
        " again."
    )


def _refuse_nonfinite(example: Example, shard: Shard, index: int) -> None:
    states = example.states if isinstance(example.states, tuple) else (example.states,)
    tensors = [tensor for tensor in (example.latents, *states) if tensor is not None]
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise DataError(
            f"{shard.tar} holds numbers that are not finite (example {index}): prepare the latents again, with a VAE"
            " that computes in float32 or bfloat16."
        )


def _bad(shard: Shard, index: int) -> CorruptSampleError:
    found = {place: (reason, sentence) for place, reason, sentence in shard.facts()["skipped"]}
    if index not in found:
        raise _damaged(shard.record, f"(it does not say why example {index} was skipped)", shard)
    return CorruptSampleError(*found[index])
