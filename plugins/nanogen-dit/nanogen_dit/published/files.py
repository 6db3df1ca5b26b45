"""The network in a checkpoint file of the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nanogen_import import Unrecognised, WeightsFile, choose, has, read_weights

ANCHOR = "x_embedder.proj.weight"  # every network of the layout has it
FOREIGN = ("y_embedder.embedding_table.weight", "pos_embed")  # of DiT and SiT, which have the anchor too


class Checkpoint(NamedTuple):
    """The tensors of one network under their published names, and the plain values beside them."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    set: str | None = None  # "ema" or "model"; None where the file has one set without a name


def read_checkpoint(path: str | Path, weights: str = "ema") -> Checkpoint:
    """Read the network in a file of safetensors or `torch.save`.

    `weights` is `"ema"` or `"model"` where the file has both; a bare state dict has one set, which is taken for either.
    Wrappers' prefixes (`module.`, `_orig_mod.`) are dropped wherever they stand in a name.

    Raises:
        DataError: the file is missing or damaged, holds anything but tensors and plain values, numbers that are not
            finite, or no network of the layout with these weights.
    """
    return network_in(read_weights(path), weights)


def network_in(file: WeightsFile, weights: str = "ema") -> Checkpoint:
    """Find the network in a file that was read. Raises DataError as `read_checkpoint` does."""
    if not has(file, ANCHOR):
        raise Unrecognised(f"{file.path} holds no network of the published layout: it has no tensor {ANCHOR}")
    if foreign := [name for name in FOREIGN if has(file, name)]:
        raise Unrecognised(f"{file.path} holds no network of the published layout: it has {foreign[0]}")
    tensors, taken = choose(file, ANCHOR, weights)
    return Checkpoint(tensors, {name: x for name, x in file.values.items() if "." not in name}, taken)
