"""The networks in a file of weights: which sets it holds, under names without the prefixes of wrappers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from nanogen_core.errors import DataError, listing
from nanogen_files.weights import read_content, read_metadata, refuse_nonfinite

SETS = ("ema", "model")  # the sets of weights that a training checkpoint tells apart
WRAPPERS = frozenset({"module", "_orig_mod"})  # what DDP, FSDP and torch.compile put into names
PLAIN = (int, float, str)


class WeightsFile(NamedTuple):
    """The contents of a file by dotted names, such as `ema.blocks.0.attn.qkv.weight`."""

    path: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]  # numbers and texts


class Weights(NamedTuple):
    """The tensors of one network."""

    tensors: dict[str, Tensor]
    set: str | None  # "ema" or "model"; None where the file has one set without a name


def read_weights(path: str | Path) -> WeightsFile:
    """Read a file of weights.

    The parts `module` and `_orig_mod` are dropped wherever they stand in a name.

    Raises:
        DataError: the file is missing or damaged, holds Python objects, or holds no tensors by name.
    """
    path = Path(path)
    tensors, values = _contents(path)
    if not tensors:
        raise DataError(f"{path} holds no tensors: a file of weights maps names to tensors.")
    return WeightsFile(path, _unwrapped(path, tensors), values)


def choose(file: WeightsFile, anchor: str, weights: str) -> Weights:
    """Return the network that has the tensor `anchor`: the set `weights`, or the only one where it has no name.

    Raises:
        DataError: there is no such network, several fit, or a number in it is not finite.
    """
    prefixes = [name.removesuffix(anchor) for name in file.tensors if f".{name}".endswith(f".{anchor}")]
    named = {prefix: _set_of(prefix) for prefix in prefixes}
    matching = [prefix for prefix, name in named.items() if name in (weights, None)]
    if len(matching) != 1:
        held = listing(name or "unnamed weights" for name in named.values())
        raise DataError(f"{file.path} holds no one set of {weights!r} weights; it holds: {held}.")
    prefix = matching[0]
    tensors = {name[len(prefix) :]: x for name, x in file.tensors.items() if name.startswith(prefix)}
    refuse_nonfinite(tensors, file.path)
    return Weights(tensors, named[prefix])


def has(file: WeightsFile, name: str) -> bool:
    """Return whether some network of the file has a tensor of this name."""
    return any(f".{found}".endswith(f".{name}") for found in file.tensors)


def _set_of(prefix: str) -> str | None:
    """The set of weights that a prefix such as `ema.` names, if any."""
    return next((part for part in prefix.split(".") if part in SETS), None)


def _contents(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and the numbers and texts, by dotted names."""
    content = read_content(path)
    try:
        leaves = {**read_metadata(path), **dict(_leaves(content, ""))}
    except RecursionError as error:
        raise DataError(f"{path} is damaged: its values are nested too deeply.") from error
    tensors = {name: x for name, x in leaves.items() if isinstance(x, Tensor)}
    return tensors, {name: x for name, x in leaves.items() if isinstance(x, PLAIN)}


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What nested mappings hold, by dotted names."""
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
                f"{path} holds {plain} twice: with and without a wrapper's {listing(WRAPPERS)} in its name."
            )
        found[plain] = tensor
    return found
