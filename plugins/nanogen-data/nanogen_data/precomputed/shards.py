"""A shard: a tar of members, an index of 16 bytes for each example, and a record. Whole or not there."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from struct import Struct
from typing import IO, Any

from nanogen_data.corrupt import CorruptSample
from nanogen_files import storage

ENTRY = Struct("<qq")  # where a member's bytes begin in the tar, and how many they are; 0 bytes: a bad example


class Shard:
    """The files of shard `number` in a folder."""

    def __init__(self, folder: Path, number: int):
        stem = folder / f"shard-{number:05d}"
        self.tar, self.index, self.record = (stem.with_suffix(end) for end in (".tar", ".index", ".json"))

    @property
    def done(self) -> bool:
        """The record is written last."""
        return self.record.is_file()

    def write(self, members: Iterable[tuple[int, bytes | CorruptSample]]) -> None:
        """Members in order, each with the number of its example; an example may be Bad. The same members give the same
        bytes."""
        entries, bad = [], []
        temporary = storage.temporary_name(self.tar)
        with open(temporary, "xb") as file:
            hashed = _Hashed(file)
            with tarfile.open(fileobj=hashed, mode="w:", format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
                for number, member in members:
                    if isinstance(member, CorruptSample):
                        bad.append(member)
                        entries.append(ENTRY.pack(0, 0))
                        continue
                    tar.addfile(_header(number, len(member)), BytesIO(member))
                    entries.append(ENTRY.pack(tar.offset - _padded(len(member)), len(member)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.tar)
        index = b"".join(entries)
        storage.write_bytes(self.index, index)
        hashes = {"tar": hashed.digest, "index": sha256(index).hexdigest()}
        sizes = {"examples": len(entries), "bytes": self.tar.stat().st_size}
        storage.write_json(self.record, {**sizes, **hashes, "skipped": [list(one) for one in bad]})

    def facts(self) -> dict[str, Any]:
        """`examples`, `bytes`, `tar` and `index` (SHA-256 of the files), `skipped` (place, reason, sentence)."""
        return dict(storage.read_json(self.record))


def _header(number: int, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(f"{number:09d}.safetensors")
    header.size = size  # everything else stays as it is: no times, no owners, so that equal shards have equal bytes
    return header


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


class _Hashed:
    """A file to write to that hashes what goes through it."""

    def __init__(self, file: IO[bytes]):
        self._file, self._hash, self._place = file, sha256(), 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._place += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._place

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
