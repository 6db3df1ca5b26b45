"""Prepared latents as the examples of a split: any one by its number, in memory that does not grow with them."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from nanogen_core.damage import BadExample
from nanogen_core.data import Example
from nanogen_core.errors import DataError
from nanogen_core.prepared.manifest import Manifest
from nanogen_core.prepared.members import unpack
from nanogen_core.prepared.shards import ENTRY, Shard

KEPT_OPEN = 128  # files


class Latents:
    """As many examples as the source had, in its order: a bad one is bad here too, so that training on latents sees
    what training on pixels would have seen."""

    bad_examples = 1.0  # they were judged when they were prepared

    def __init__(self, folder: Path, manifest: Manifest):
        self._length, self._size = manifest.examples, manifest.shard_size
        self._shards = [Shard(folder, number) for number in range(len(manifest.shards))]
        self._files = OpenFiles(KEPT_OPEN)
        for shard, facts in zip(self._shards, manifest.shards, strict=True):
            _refuse_other_size(shard.tar, facts["bytes"])
            _refuse_other_size(shard.index, facts["examples"] * ENTRY.size)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """Raises BadExample where the source's was bad, DataError for a damaged shard."""
        number, row = divmod(index, self._size)
        shard = self._shards[number]
        offset, size = ENTRY.unpack(self._files.read(shard.index, row * ENTRY.size, ENTRY.size))
        if not size:
            raise _bad(shard, index)
        try:
            return unpack(self._files.read(shard.tar, offset, size))
        except ValueError as error:
            raise DataError(
                f"{shard.tar} is damaged at byte {offset} (example {index}): delete it with {shard.record.name} and"
                " call `nanogen data prepare` again."
            ) from error


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


def _bad(shard: Shard, index: int) -> BadExample:
    found = {place: (reason, sentence) for place, reason, sentence in shard.facts()["skipped"]}
    return BadExample(*found[index])
