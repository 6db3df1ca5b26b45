"""Reads a file of weights (safetensors or `torch.save`) without running anything that is in it."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from nanogen_core.errors import DataError, listing

SETS = ("ema", "model")  # the sets of weights that a training checkpoint tells apart
WRAPPERS = frozenset({"module", "_orig_mod"})  # what DDP, FSDP and torch.compile put into names
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # how files of torch.save begin
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
    _refuse_infinite(file.path, tensors)
    return Weights(tensors, named[prefix])


def has(file: WeightsFile, name: str) -> bool:
    """Return whether some network of the file has a tensor of this name."""
    return any(f".{found}".endswith(f".{name}") for found in file.tensors)


def _set_of(prefix: str) -> str | None:
    """The set of weights that a prefix such as `ema.` names, if any."""
    return next((part for part in prefix.split(".") if part in SETS), None)


def _contents(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start.startswith((ZIP, PICKLE)):
            return _safetensors_file(path)
        loaded = _torch_file(path, mapped=start == ZIP)
        leaves = dict(_leaves(loaded, "")) if isinstance(loaded, Mapping) else {}
    except FileNotFoundError as error:
        raise DataError(f"There is no checkpoint {path}.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder: name the file of weights in it.") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} holds Python objects beside tensors and plain values; it is not opened, because opening it could "
            f"run any code. Save it again as a state dict or as safetensors."
        ) from error
    except Exception as error:  # whatever a damaged file makes its parser raise
        raise DataError(f"{path} cannot be read as safetensors or as a file of torch.save: it is damaged.") from error
    if not isinstance(loaded, Mapping):
        raise DataError(
            f"{path} holds {_what(loaded)}, where a file of weights maps names to tensors: save the state dict."
        )
    tensors = {name: x for name, x in leaves.items() if isinstance(x, Tensor)}
    return tensors, {name: x for name, x in leaves.items() if isinstance(x, PLAIN)}


def _torch_file(path: Path, mapped: bool) -> Any:
    # a Namespace, in which training scripts keep their arguments, holds plain values and runs nothing
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _safetensors_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What nested mappings hold, by dotted names."""
    if isinstance(tree, argparse.Namespace):
        tree = vars(tree)
    if not isinstance(tree, Mapping):
        yield name, tree
        return
    for key, branch in tree.items():
        yield from _leaves(branch, f"{name}.{key}" if name else str(key))


def _what(loaded: Any) -> str:
    words = {Tensor: "one tensor", list: "a list", tuple: "a tuple", type(None): "None"}
    return words.get(type(loaded), f"an object of type {type(loaded).__name__}")


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


def _refuse_infinite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises DataError for the first tensor with a NaN or an infinite number."""
    for name, tensor in tensors.items():
        count = int((~tensor.float().isfinite()).sum()) if tensor.is_floating_point() else 0
        if count:
            raise DataError(
                f"{path}: {count:,} of the {tensor.numel():,} numbers of {name} are NaN or infinite. Import an earlier"
                " checkpoint: the run that wrote this one had diverged, or the file is damaged."
            )
