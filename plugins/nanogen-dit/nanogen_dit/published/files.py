"""Reads a checkpoint file without running anything that is in it, and finds the network among what it holds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from nanogen_core.errors import DataError, listing

ANCHOR = "x_embedder.proj.weight"  # every network of the layout has it, and nothing else does
NAMED = ("ema", "model")  # the sets of weights that a published file tells apart
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # how files of torch.save begin


class Checkpoint(NamedTuple):
    """The tensors of one network under their published names, and the plain values beside them."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def read_checkpoint(path: str | Path, weights: str = "ema") -> Checkpoint:
    """The network in a file of safetensors or `torch.save`; `weights` is `"ema"` or `"model"` where it has both.

    A bare state dict has one set of weights, which is taken for either. Wrappers' prefixes (`module.`, `_orig_mod.`)
    are dropped. Raises DataError, in one sentence, for a file that is missing, damaged, or holds anything but tensors
    and plain values, and where `weights` are not in it.
    """
    path = Path(path)
    found, meta = _contents(path)
    prefix = _choose(path, found, weights)
    return Checkpoint({name[len(prefix) :]: x for name, x in found.items() if name.startswith(prefix)}, meta)


def _contents(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
        return _torch_file(path, start == ZIP) if start.startswith((ZIP, PICKLE)) else _safetensors_file(path)
    except FileNotFoundError as error:
        raise DataError(f"There is no checkpoint {path}.") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} holds Python objects beside tensors and plain values; it is not opened, because opening it could "
            f"run any code. Save it again as a state dict or as safetensors."
        ) from error
    except Exception as error:  # whatever a damaged file makes its parser raise
        raise DataError(f"{path} cannot be read as safetensors or as a file of torch.save: it is damaged.") from error


def _torch_file(path: Path, mapped: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    values = dict(_leaves(loaded, ""))
    tensors = {name: x for name, x in values.items() if isinstance(x, Tensor)}
    meta = {name: x for name, x in values.items() if isinstance(x, int | float | str) and "." not in name}
    return tensors, meta


def _safetensors_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What nested mappings hold, by dotted names."""
    if not isinstance(tree, Mapping):
        yield name, tree
        return
    for key, branch in tree.items():
        yield from _leaves(branch, f"{name}.{key}" if name else str(key))


def _choose(path: Path, found: Mapping[str, Tensor], weights: str) -> str:
    """The prefix of the names of the network that is meant."""
    prefixes = [name.removesuffix(ANCHOR) for name in found if f".{name}".endswith(f".{ANCHOR}")]
    if not prefixes:
        raise DataError(f"{path} holds no network of the published layout: it has no tensor {ANCHOR}.")
    names = [_named(prefix) for prefix in prefixes]
    matching = [prefix for prefix, name in zip(prefixes, names, strict=True) if name in (weights, None)]
    if len(matching) != 1:
        held = listing(name or "unnamed weights" for name in names)
        raise DataError(f"{path} holds no one set of {weights!r} weights; it holds: {held}.")
    return matching[0]


def _named(prefix: str) -> str | None:
    """Which set of weights a prefix such as `ema.module.` names, if any."""
    return next((part for part in prefix.split(".") if part in NAMED), None)
