"""Reads the network in a checkpoint file of DiffusionBench."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nanogen_import import Unrecognised, WeightsFile, choose, has, read_weights

ANCHOR = "x_embedder.proj.weight"  # in every network of the layout
FOREIGN = ("y_embedder.embedding_table.weight", "pos_embed")  # in DiT and SiT, which have the anchor too


class Checkpoint(NamedTuple):
    """Tensors of one network under their published names, and the plain values of the file."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    set: str | None = None  # "ema" or "model"; None: the file has one unnamed set


def read_checkpoint(path: str | Path, weights: str = "ema") -> Checkpoint:
    """Read the network in a safetensors or `torch.save` file.

    The prefixes of wrappers (`module.`, `_orig_mod.`) are removed from all names.

    Args:
        path: The file.
        weights: The set to read, "ema" or "model". Ignored if the file has only one set, without a name.

    Raises:
        DataError: The file is missing or damaged, or contains non-finite numbers or anything but tensors and plain
            values. Or it has no network of this layout with these weights.
    """
    return network_in(read_weights(path), weights)


def network_in(file: WeightsFile, weights: str = "ema") -> Checkpoint:
    """Return the network in `file`. Raises the errors of `read_checkpoint`."""
    if not has(file, ANCHOR):
        raise Unrecognised(f"{file.path} contains no network of DiffusionBench: the tensor {ANCHOR} is missing")
    if foreign := [name for name in FOREIGN if has(file, name)]:
        raise Unrecognised(f"{file.path} contains no network of DiffusionBench: it has {foreign[0]}, as DiT and SiT do")
    tensors, taken = choose(file, ANCHOR, weights)
    return Checkpoint(tensors, {name: x for name, x in file.values.items() if "." not in name}, taken)
