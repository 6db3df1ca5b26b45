"""Tensors that are shared out over processes, as a folder of safetensors files: by torch.distributed.checkpoint.

Every process writes its share; any number of processes can read them, one alone included.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from nanogen_core.errors import DataError
from nanogen_train.distributed import dtensor

Like = Callable[[str], "Tensor | None"]
LENGTH = 8  # bytes at the start of a safetensors file: the length of its header, little-endian
METADATA = "__metadata__"  # the header's key for texts


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes this process's share. Equal tensors give equal files. Every process calls it; raises what the first of
    them that failed did."""
    writer = _Writer(str(folder), save_distributed=True)
    try:
        with _quietly():
            save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        raise _first(error) from error


def read(folder: Path, like: Like) -> dict[str, Tensor]:
    """The tensors, each shared out as the one that `like` has for its name. Every process calls it.

    Raises DataError for damaged shards.
    """
    reader = HuggingFaceStorageReader(str(folder))
    try:
        tensors = {
            name: dtensor.empty(known.size, known.properties.dtype, like(name))
            for name, known in reader.read_metadata().state_dict_metadata.items()
            if isinstance(known, TensorStorageMetadata)  # as everything in safetensors is
        }
        with _quietly():
            load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    except CheckpointException as error:
        raise DataError(f"The shards in {folder} cannot be read: {_first(error)}.") from error
    return tensors


class _Writer(HuggingFaceStorageWriter):
    """Sorts the header of each file that this process wrote, before any process learns that the writing is done."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        written = super().write_data(plan, planner)
        for name in {result.storage_data.relative_path for result in written.wait()}:
            sort_metadata(Path(self.path) / name)
        return written


def sort_metadata(file: Path) -> None:
    """Sorts the metadata in the header of a safetensors file, which safetensors writes in random order.

    The rest of the file stays as it is.
    """
    with file.open("r+b") as content:
        size = int.from_bytes(content.read(LENGTH), "little")
        header = json.loads(content.read(size))
        header[METADATA] = dict(sorted(header.get(METADATA, {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:  # in another form than that of safetensors it might not fit
            content.seek(LENGTH)
            content.write(text.ljust(size))


def _first(error: CheckpointException) -> BaseException:
    failure: BaseException = next(iter(error.failures.values()))[0]
    return failure


@contextmanager
def _quietly() -> Iterator[None]:
    """torch warns where one process reads or writes alone, which is meant here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
