"""Tensors that are shared out over processes, as a folder of safetensors files: by torch.distributed.checkpoint.

Every process writes its share; any number of processes can read them, one alone included.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from nanogen_core.errors import DataError
from nanogen_core.training import placement

Like = Callable[[str], "Tensor | None"]


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes this process's share. Every process calls it; raises what the first of them that failed did."""
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
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
            name: placement.empty(known.size, known.properties.dtype, like(name))
            for name, known in reader.read_metadata().state_dict_metadata.items()
            if isinstance(known, TensorStorageMetadata)  # as everything in safetensors is
        }
        with _quietly():
            load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    except CheckpointException as error:
        raise DataError(f"The shards in {folder} cannot be read: {_first(error)}.") from error
    return tensors


def _first(error: CheckpointException) -> BaseException:
    failure: BaseException = next(iter(error.failures.values()))[0]
    return failure


@contextmanager
def _quietly() -> Iterator[None]:
    """torch warns where one process reads or writes alone, which is meant here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
