"""A shard: a tar of members, an index with 16 bytes per example, and a JSON record. The record is written last."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from struct import Struct
from typing import IO, Any

from nanogen_core.errors import DataError
from nanogen_data.corrupt import CorruptSample
from nanogen_files import storage

ENTRY = Struct("<qq")  # offset and size of a member's bytes in the tar; size 0 marks a corrupt sample


class Shard:
    """The files of a shard.

    Args:
        folder: Folder of the latents.
        number: Index of the shard.
    """

    def __init__(self, folder: Path, number: int):
        stem = folder / f"shard-{number:05d}"
        self.tar, self.index, self.record = (stem.with_suffix(end) for end in (".tar", ".index", ".json"))

    @property
    def done(self) -> bool:
        """Whether the shard is complete: its record is readable, and its other files have the recorded sizes."""
        if not self.record.is_file():
            return False
        try:
            facts = self.facts()
            sizes = {self.tar: facts["bytes"], self.index: facts["examples"] * ENTRY.size}
            return all(file.stat().st_size == size for file, size in sizes.items())
        except (DataError, OSError, KeyError, TypeError, ValueError):
            return False

    def write(self, members: Iterable[tuple[int, bytes | CorruptSample]]) -> None:
        """Write the shard. Equal members give equal bytes.

        Args:
            members: (example number, serialised example or CorruptSample), in order.
        """
        entries, corrupt = [], []
        temporary = storage.temporary_name(self.tar)
        with open(temporary, "xb") as file:
            hashed = _Hashed(file)
            with tarfile.open(fileobj=hashed, mode="w:", format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
                for number, member in members:
                    if isinstance(member, CorruptSample):
                        corrupt.append(member)
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
        storage.write_json(self.record, {**sizes, **hashes, "skipped": [list(sample) for sample in corrupt]})

    def facts(self) -> dict[str, Any]:
        """Return the record of the shard.

        It has the number of samples (`examples`), the size of the tar file (`bytes`), the SHA-256 of the tar file and
        of the index (`tar`, `index`), and the corrupt samples as (row, reason, message) (`skipped`).
        """
        return dict(storage.read_json(self.record))


def _header(number: int, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(f"{number:09d}.safetensors")
    header.size = size  # no time and no owner, so that equal shards have equal bytes
    return header


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


class _Hashed:
    """Writable file that hashes what is written."""

    def __init__(self, file: IO[bytes]):
        self._file, self._hash, self._position = file, sha256(), 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._position += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._position

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
