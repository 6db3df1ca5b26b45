"""Weights and images that anyone can make again, and the script that recorded what torch-fidelity sees with them.

`python inception_formula.py FILE.npz` needs torch-fidelity 0.4.0; it was run with torch 2.14.1.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

SIDES = ((32, 32), (40, 24), (299, 299), (320, 256))  # of the images, rows and columns


def weights(shapes):
    """name -> shape gives name -> float32 tensor: numpy's RandomState of the name's place in the alphabet."""
    return {name: _made(name, shapes[name], number) for number, name in enumerate(sorted(shapes))}


def _made(name, shape, number):
    drawn = np.random.RandomState(number).standard_normal(tuple(shape))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith(("conv.weight", "fc.weight")):
        drawn = drawn * (2 / np.prod(shape[1:])) ** 0.5
    elif name.endswith(("bn.weight", "running_var")):
        drawn = 1 + 0.1 * np.abs(drawn)
    else:
        drawn = 0.1 * drawn
    return torch.from_numpy(np.asarray(drawn, dtype=np.float32))


def image(rows, columns):
    """uint8 [1, 3, rows, columns]."""
    i, j = torch.arange(rows)[:, None], torch.arange(columns)
    return torch.stack([(7 * i + 13 * (c + 1) * j + i * j * c) % 256 for c in range(3)]).to(torch.uint8)[None]


def record(file):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        shapes = _shapes(FeatureExtractorInceptionV3)
        torch.save(weights(shapes), path)
        network = FeatureExtractorInceptionV3("recorded", ["2048", "logits_unbiased"], str(path))
    seen = [network(image(*side)) for side in SIDES]
    np.savez_compressed(file, pool=torch.cat([s[0] for s in seen]), logits=torch.cat([s[1] for s in seen]))


def _shapes(network):
    """The shapes of the original's tensors: what its constructor wants to load."""
    found = {}

    def caught(self, state):
        found.update({name: tuple(value.shape) for name, value in self.state_dict().items()})
        raise StopIteration

    original, network.load_state_dict = network.load_state_dict, caught
    try:
        with tempfile.NamedTemporaryFile(suffix=".pth") as empty:
            torch.save({}, empty.name)
            network("shapes", ["2048"], empty.name)
    except StopIteration:
        return found
    finally:
        network.load_state_dict = original


if __name__ == "__main__":
    record(sys.argv[1])
