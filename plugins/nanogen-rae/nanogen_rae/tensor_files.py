"""Files of tensors as others publish them: safetensors, and torch.save without code in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core import storage
from nanogen_core.errors import DataError


def read(file: Path) -> dict[str, Tensor]:
    """The tensors at the top of a file. Raises DataError."""
    return {name: value for name, value in read_content(file).items() if isinstance(value, Tensor)}


def read_content(file: Path) -> dict[str, Any]:
    """What a file holds, nested as it was saved. Raises DataError where it is missing, damaged, or holds code."""
    if file.suffix == ".safetensors":
        return dict(storage.read_tensors(file))
    try:
        # a training checkpoint is much larger than the part of it that is used: the file is mapped
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist.") from error
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file} is not read, because it holds more than tensors, numbers and texts: "
            f"{str(error).strip().splitlines()[0]} Save its state dict alone, where you trust it."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{file} is no whole file of tensors: {error}.") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__}, where tensors by name are expected.")
    return dict(content)
