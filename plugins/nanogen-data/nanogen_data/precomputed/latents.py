"""Dataset of precomputed latents with random access and constant memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSampleError
from nanogen_data.loader import Example
from nanogen_data.mixture import Mixing
from nanogen_data.precomputed.manifest import Manifest
from nanogen_data.precomputed.members import unpack
from nanogen_data.precomputed.shards import ENTRY, Shard
from nanogen_files.hashing import file_hash

MAX_OPEN = 128  # files


class Latents:
    """Examples with precomputed latents. An example has the same index as in the source dataset.

    Samples that are corrupt in the source are corrupt here too, so training sees the same examples as if it read the
    images. Each process verifies the SHA-256 of a shard when it first reads from it.
    """

    max_corrupt = 1.0  # `nanogen data prepare` has applied the limit

    def __init__(self, folder: Path, manifest: Manifest, mixing: Mixing | None = None):
        self.mixing = mixing  # of the roots, by the weights of the configuration
        self._length, self._size = manifest.examples, manifest.shard_size
        self._shards = [Shard(folder, number) for number in range(len(manifest.shards))]
        self._shard_facts = manifest.shards
        self._verified: set[int] = set()
        self._files = OpenFiles(open_file_limit())
        for shard, facts in zip(self._shards, manifest.shards, strict=True):
            _refuse_other_size(shard.tar, facts["bytes"])
            _refuse_other_size(shard.index, facts["examples"] * ENTRY.size)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Example:
        """Return an example. Raises CorruptSampleError if it is corrupt in the source, DataError if the shard is."""
        number, row = divmod(index, self._size)
        shard = self._shards[number]
        self._verify(number)
        offset, size = ENTRY.unpack(self._files.read(shard.index, row * ENTRY.size, ENTRY.size))
        if not size:
            raise _skipped(shard, index)
        try:
            example = unpack(self._files.read(shard.tar, offset, size))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
            raise _corrupt_shard(shard.tar, f"at byte {offset} (example {index})", shard) from error
        _refuse_nonfinite(example, shard, index)
        return example

    def _verify(self, number: int) -> None:
        """Raise DataError if a shard's hash differs from the manifest."""
        if number in self._verified:
            return
        shard, facts = self._shards[number], self._shard_facts[number]
        for file, expected in ((shard.tar, facts["tar"]), (shard.index, facts["index"])):
            if file_hash(file) != expected:
                raise _corrupt_shard(file, "(its SHA-256 differs from the manifest)", shard)
        self._verified.add(number)


def open_file_limit() -> int:
    """Return how many files may stay open: a quarter of the process's limit, at most 128."""
    try:
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except (ImportError, OSError):  # a system without limits
        return MAX_OPEN
    return MAX_OPEN if allowed < 0 else max(1, min(MAX_OPEN, allowed // 4))


class OpenFiles:
    """Read pieces of many files, and keep the most recently used ones open.

    Reads do not move file positions, so forked processes can share the open files.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._open: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, offset: int, size: int) -> bytearray:
        """Return `size` bytes at `offset`, or fewer at the end of the file."""
        data = bytearray(size)
        count = os.preadv(self._descriptor(path), [data], offset)
        return data if count == size else data[:count]

    def _descriptor(self, path: Path) -> int:
        if path not in self._open:
            if len(self._open) == self._limit:
                os.close(self._open.popitem(last=False)[1])
            self._open[path] = os.open(path, os.O_RDONLY)
        self._open.move_to_end(path)
        return self._open[path]

    def __getstate__(self) -> dict[str, object]:
        return {"_limit": self._limit, "_open": OrderedDict()}  # another process opens its own files

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


def _refuse_other_size(path: Path, expected: int) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != expected:
        problem = "is missing" if size is None else f"has {size} bytes, but the manifest says {expected}"
        raise DataError(f"{path} {problem}. Copy it again. Or run `nanogen data prepare` again: it rewrites the file.")


def _corrupt_shard(file: Path, detail: str, shard: Shard) -> DataError:
    return DataError(
        f"{file} is corrupt {detail}. Restore it from a copy. Or delete {shard.tar.name}, {shard.index.name} and"
        f" {shard.record.name}, and run `nanogen data prepare` again."
    )


def _refuse_nonfinite(example: Example, shard: Shard, index: int) -> None:
    states = example.states if isinstance(example.states, tuple) else (example.states,)
    tensors = [tensor for tensor in (example.latents, *states) if tensor is not None]
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise DataError(
            f"{shard.tar} contains NaN or infinite values (example {index}). Prepare the latents again into another"
            " folder. A likely cause is float16: let the tokenizer and the encoder compute in float32 or bfloat16."
        )


def _skipped(shard: Shard, index: int) -> CorruptSampleError:
    skipped = {index: (reason, message) for index, reason, message in shard.facts()["skipped"]}
    if index not in skipped:
        raise _corrupt_shard(shard.record, f"(it does not say why example {index} was skipped)", shard)
    return CorruptSampleError(*skipped[index])
