"""Reads weights files: selects EMA or model weights, and removes `module` and `_orig_mod` from tensor names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nanogen_core.errors import DataError, listing
from nanogen_files.weights import read_content, read_metadata, refuse_nonfinite

SETS = ("ema", "model")  # sets of weights in a training checkpoint
WRAPPERS = frozenset({"module", "_orig_mod"})  # parts of names that DDP, FSDP and torch.compile add
PLAIN = (int, float, str)


class WeightsFile(NamedTuple):
    """Contents of a weights file by dotted names, such as `ema.blocks.0.attn.qkv.weight`."""

    path: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]  # numbers and strings


class Weights(NamedTuple):
    """Tensors of one network."""

    tensors: dict[str, Tensor]
    set: str | None  # "ema" or "model"; None if the file has one unnamed set


def read_weights(path: str | Path) -> WeightsFile:
    """Read a weights file. Removes the parts `module` and `_orig_mod` from names.

    Raises:
        DataError: The file is missing or damaged, contains Python objects, or contains no named tensors.
    """
    path = Path(path)
    tensors, values = _contents(path)
    if not tensors:
        raise DataError(f"{path} contains no tensors: give a file that maps names to tensors.")
    return WeightsFile(path, _unwrapped(path, tensors), values)


def choose(file: WeightsFile, anchor: str, weights: str) -> Weights:
    """Return the tensors of one network in a file.

    Args:
        file: Contents of the file.
        anchor: Name of a tensor that identifies the network.
        weights: Set of weights, "ema" or "model". A file with a single unnamed set is accepted too.

    Raises:
        DataError: No network or several networks match, or a weight is NaN or infinite.
    """
    prefixes = [name.removesuffix(anchor) for name in file.tensors if f".{name}".endswith(f".{anchor}")]
    named = {prefix: _set_of(prefix) for prefix in prefixes}
    only_unnamed = [*named.values()] == [None]
    matching = prefixes if only_unnamed else [prefix for prefix, name in named.items() if name == weights]
    if len(matching) != 1:
        available = listing(name or "unnamed weights" for name in named.values())
        raise DataError(
            f"{file.path} does not contain exactly one set of {weights!r} weights. It contains: {available}. Choose"
            " another set with --weights, or save one network to a file of its own."
        )
    prefix = matching[0]
    tensors = {name[len(prefix) :]: x for name, x in file.tensors.items() if name.startswith(prefix)}
    refuse_nonfinite(tensors, file.path)
    return Weights(tensors, named[prefix])


def has(file: WeightsFile, name: str) -> bool:
    """Return whether a network of the file has a tensor of this name."""
    return any(f".{found}".endswith(f".{name}") for found in file.tensors)


def _set_of(prefix: str) -> str | None:
    """Set of weights in a prefix such as `ema.`; None if there is none."""
    return next((part for part in prefix.split(".") if part in SETS), None)


def _contents(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, and numbers and strings, by dotted names."""
    content = read_content(path)
    try:
        leaves = {**read_metadata(path), **dict(_leaves(content, ""))}
    except RecursionError as error:
        raise DataError(f"{path} is damaged: its values are nested too deeply. Download it again.") from error
    tensors = {name: x for name, x in leaves.items() if isinstance(x, Tensor)}
    return tensors, {name: x for name, x in leaves.items() if isinstance(x, PLAIN)}


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted names."""
    if isinstance(tree, argparse.Namespace):
        tree = vars(tree)
    if not isinstance(tree, Mapping):
        yield name, tree
        return
    for key, branch in tree.items():
        yield from _leaves(branch, f"{name}.{key}" if name else str(key))


def _unwrapped(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if plain in found:
            raise DataError(
                f"{path} contains {plain} twice: two names differ only in {listing(WRAPPERS)}. Remove one of them."
            )
        found[plain] = tensor
    return found
