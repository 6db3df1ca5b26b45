"""Reads files of weights: safetensors, or `torch.save` with nothing but tensors in it. No file is ever run."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from nanogen_files import storage
from nanogen_files.errors import DataError
from nanogen_files.reading import opened

ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # how files of torch.save begin
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # in this order, as timm looks for them


def read_weights(file: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a file whose names begin with `prefix`, without that prefix.

    Plain values beside the tensors are left out.
    Raises DataError for a file that is missing or damaged, that holds Python objects, or numbers that are not finite.
    """
    start = _start(file)
    content = _content(file, start, prefix)
    found = {
        name.removeprefix(prefix): value
        for name, value in _unwrapped(content).items()
        if isinstance(name, str) and isinstance(value, Tensor) and name.startswith(prefix)
    }
    if not found and not prefix:
        raise DataError(f"{file} holds no tensors by name.")
    refuse_nonfinite(found, file)
    return {name: value.clone() for name, value in found.items()} if start == ZIP else found  # not those of the file


def read_content(file: Path) -> Mapping[Any, Any]:
    """What a file holds, nested as it was saved. The tensors of a file of `torch.save` stay mapped to it.

    Raises DataError for a file that is missing or damaged, or that holds Python objects.
    """
    return _content(file, _start(file), "")


def read_metadata(file: Path) -> dict[str, str]:
    """The texts beside the tensors of a safetensors file; none for a file of `torch.save`.

    Raises DataError for a file that is missing or damaged.
    """
    if _start(file).startswith((ZIP, PICKLE)):
        return {}
    try:
        with safe_open(file, "pt") as content:
            return dict(content.metadata() or {})
    except Exception as error:  # whatever a damaged file makes its parser raise
        raise DataError(f"{file} is no whole safetensors file: {str(error)[:200]}.") from error


def refuse_nonfinite(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Raises DataError that names the first tensor with a NaN or an infinity, and says how many it has."""
    for name, value in tensors.items():
        if value.is_floating_point() and value.element_size() == 1:
            value = value.float()  # the types of 8 bits have no `isfinite`
        if value.is_floating_point() and not value.isfinite().all():
            count = int((~value.isfinite()).sum())
            raise DataError(
                f"{source}: {name!r} holds numbers that are not finite ({count:,} of {value.numel():,}): the file is"
                " damaged, or its training diverged. Use another copy, or an earlier checkpoint."
            )


def _start(file: Path) -> bytes:
    if file.is_dir():
        raise DataError(f"{file} is a folder: name the file of weights in it.")
    with opened(file) as content:
        return content.read(4)


def _content(file: Path, start: bytes, prefix: str) -> Mapping[Any, Any]:
    if not start.startswith((ZIP, PICKLE)):
        return storage.read_tensors(file, prefix=prefix)
    content = _torch_file(file, start)
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds {_what(content)}, and no tensors by name: save the state dict.")
    return content


def _what(content: Any) -> str:
    words = {Tensor: "one tensor", list: "a list", tuple: "a tuple", type(None): "None"}
    return words.get(type(content), f"an object of type {type(content).__name__}")


def _torch_file(file: Path, start: bytes) -> Any:
    try:
        # a Namespace, in which training scripts keep their arguments, holds plain values and runs nothing
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=start == ZIP)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file} holds Python objects beside tensors, and is not opened, because opening it could run any code:"
            " save it again as safetensors, or as a state dict."
        ) from error
    except Exception as error:  # whatever a damaged file makes its parser raise
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
        raise DataError(f"{file} is damaged, and no whole file of tensors: {reason}.") from error


def _unwrapped(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The mapping with the tensors: the content itself, or what training programs wrap in it."""
    if any(isinstance(value, Tensor) for value in content.values()):
        return content
    inside = (content.get(name) for name in WRAPPERS)
    return next((value for value in inside if isinstance(value, Mapping)), content)
