"""Read weight files: safetensors, or `torch.save` files of tensors and plain values. Never runs code from a file."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from nanogen_files import storage
from nanogen_files.errors import DataError
from nanogen_files.reading import opened

ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # first bytes of torch.save files
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # same order as timm


def read_weights(file: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """Read the named tensors of a weight file. Ignores other values in the file.

    If no tensor is at the top level, reads those under a key such as `state_dict` (see `WRAPPERS`).

    Args:
        file: Safetensors or torch.save file.
        prefix: Read only tensors whose names begin with it, and strip it from the names. No match gives an empty dict.

    Raises:
        DataError: The file is missing or corrupt, contains Python objects, or has NaN or infinite values. Without
            `prefix`, also if it has no named tensors.
    """
    start = _start(file)
    content = _content(file, start, prefix)
    tensors = {
        name.removeprefix(prefix): value
        for name, value in _unwrapped(content).items()
        if isinstance(name, str) and isinstance(value, Tensor) and name.startswith(prefix)
    }
    if not tensors and not prefix:
        raise DataError(f"{file} contains no named tensors: give a file with a state dict.")
    refuse_nonfinite(tensors, file)
    memory_mapped = start == ZIP
    return {name: value.clone() for name, value in tensors.items()} if memory_mapped else tensors


def read_content(file: Path) -> Mapping[Any, Any]:
    """Read a weight file as it was saved, with nested values. Zip-format torch.save files stay memory-mapped.

    Raises:
        DataError: The file is missing or corrupt, or contains Python objects.
    """
    return _content(file, _start(file), "")


def read_metadata(file: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty for a torch.save file.

    Raises:
        DataError: The file is missing or corrupt.
    """
    if _start(file).startswith((ZIP, PICKLE)):
        return {}
    try:
        with safe_open(file, "pt") as content:
            return dict(content.metadata() or {})
    except Exception as error:  # parsers raise arbitrary errors on corrupt files
        text = str(error)[:200]
        raise DataError(f"{file} is not a valid safetensors file: {text}. Use another copy of it.") from error


def refuse_nonfinite(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Raise DataError if a tensor contains NaN or infinity. Names the first such tensor and counts the bad values."""
    for name, value in tensors.items():
        if value.is_floating_point() and value.element_size() == 1:
            value = value.float()  # 8-bit dtypes have no `isfinite`
        if value.is_floating_point() and not value.isfinite().all():
            count = int((~value.isfinite()).sum())
            raise DataError(
                f"{source}: {name!r} contains NaN or infinite values ({count:,} of {value.numel():,}). The weights"
                " are corrupt, or their training diverged. Use another copy of them, or an earlier checkpoint."
            )


def _start(file: Path) -> bytes:
    if file.is_dir():
        raise DataError(f"{file} is a folder: give the path of a weight file in it.")
    with opened(file) as content:
        return content.read(4)


def _content(file: Path, start: bytes, prefix: str) -> Mapping[Any, Any]:
    if not start.startswith((ZIP, PICKLE)):
        return storage.read_tensors(file, prefix=prefix)
    content = _torch_file(file, start)
    if not isinstance(content, Mapping):
        raise DataError(f"{file} contains {_description(content)} instead of named tensors: save the state dict.")
    return content


def _description(content: Any) -> str:
    descriptions = {Tensor: "one tensor", list: "a list", tuple: "a tuple", type(None): "None"}
    return descriptions.get(type(content), f"an object of type {type(content).__name__}")


def _torch_file(file: Path, start: bytes) -> Any:
    try:
        # training scripts store their arguments as a Namespace, which holds plain values and is safe
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=start == ZIP)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file} contains pickled Python objects or is corrupt. It is not loaded, because loading it could run"
            " code. Save its weights as safetensors, or as a state dict. If it is corrupt, use another copy."
        ) from error
    except Exception as error:  # parsers raise arbitrary errors on corrupt files
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
        raise DataError(f"{file} is not a valid weight file: {reason}. Use another copy of it.") from error


def _unwrapped(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the mapping that contains the tensors: the content, or the value under a key of `WRAPPERS`."""
    if any(isinstance(value, Tensor) for value in content.values()):
        return content
    wrapped = (content.get(name) for name in WRAPPERS)
    return next((value for value in wrapped if isinstance(value, Mapping)), content)


def load_exactly(module: Any, state: Mapping[str, Tensor], *, expected: Mapping[str, Tensor], source: Path) -> None:
    """Load a state dict that must have the names and shapes of `expected`.

    Raises DataError for the first name or shape that differs; the message names the file `source`.
    """
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or extra:
        what = f"lacks the tensor {missing[0]!r}" if missing else f"has the unknown tensor {extra[0]!r}"
        raise DataError(f"{source} {what}. Use weights of this configuration.")
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise DataError(
                f"{source}: the tensor {name!r} has shape {tuple(state[name].shape)}, but the configuration needs"
                f" {tuple(value.shape)}. Use weights of this configuration."
            )
    module.load_state_dict(state)


def frozen_network(build: Callable[[], Any], state: Mapping[str, Tensor], *, source: Path) -> Any:
    """Build a convolutional network with the weights of a state dict, frozen and in evaluation mode.

    Its weights are in the format `channels_last`, which is faster on a CPU.

    Args:
        build: Returns the network. Its initial weights are not computed.
        state: Tensors with the names and shapes of the network.
        source: The file that messages name.

    Raises:
        DataError: A name or a shape differs.
    """
    with torch.device("meta"):  # no initialisation: all weights come from the state dict
        network = build()
    network.to_empty(device="cpu")
    load_exactly(network, state, expected=network.state_dict(), source=source)
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
