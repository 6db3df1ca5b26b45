"""Sharded tensors as a folder of safetensors files, written by torch.distributed.checkpoint.

Every process writes its shards. Any number of processes can read them.
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
LENGTH = 8  # bytes at the start of a safetensors file with the size of its header, little-endian
METADATA = "__metadata__"  # header key of the metadata


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the shards of this process. Called on every process. Equal tensors give equal files.

    Args:
        folder: Folder of the shards.
        tensors: Tensors by name; they may be sharded.

    Raises the error of the first process that failed.
    """
    writer = _Writer(str(folder), save_distributed=True)
    try:
        with _without_warnings():
            save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        raise _first_failure(error) from error


def read(folder: Path, template: Like) -> dict[str, Tensor]:
    """Read tensors. Called on every process.

    Args:
        folder: Folder of the shards.
        template: Maps a name to the tensor that the loaded one is sharded like, or to None for an unsharded tensor.

    Raises:
        DataError: A shard is corrupt.
    """
    reader = HuggingFaceStorageReader(str(folder))
    try:
        tensors = {
            name: dtensor.empty_like(metadata.size, metadata.properties.dtype, template(name))
            for name, metadata in reader.read_metadata().state_dict_metadata.items()
            if isinstance(metadata, TensorStorageMetadata)  # true for all safetensors content
        }
        with _without_warnings():
            load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    except CheckpointException as error:
        raise DataError(
            f"The shards in {folder} cannot be read: {_first_failure(error)}. Move this checkpoint away. Then --resume"
            " uses an older one."
        ) from error
    return tensors


class _Writer(HuggingFaceStorageWriter):
    """Writer that sorts the metadata of this process's files before it reports completion."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        futures = super().write_data(plan, planner)
        for name in {result.storage_data.relative_path for result in futures.wait()}:
            sort_metadata(Path(self.path) / name)
        return futures


def sort_metadata(file: Path) -> None:
    """Sort the metadata in a safetensors header, which safetensors writes in random order. Changes nothing else."""
    with file.open("r+b") as content:
        size = int.from_bytes(content.read(LENGTH), "little")
        header = json.loads(content.read(size))
        header[METADATA] = dict(sorted(header.get(METADATA, {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:  # always, unless the header was written in another format
            content.seek(LENGTH)
            content.write(text.ljust(size))


def _first_failure(error: CheckpointException) -> BaseException:
    failure: BaseException = next(iter(error.failures.values()))[0]
    return failure


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress torch's warning about reading and writing with a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
