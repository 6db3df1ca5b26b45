"""Differences between samples of the same seed in different batch sizes: `python -m benchmarks.batch_sizes`.

Samples a LightningDiT with random weights and prints, for each image size and pair of batch sizes, whether the noise
is equal, the largest difference of pixels before rounding, and the numbers of images and values that differ after it.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from nanogen_core import KeyedRNG, Pipeline, build_pipeline
from nanogen_core.testing.comparison import fill_zero_parameters
from nanogen_files.images import to_uint8

COUNT = 64
BATCHES = (1, 8, 64)
SIZES = (16, 64)  # pixels


def pipeline(size: int) -> Pipeline:
    """Build a pipeline for the drawings, with random weights in its zero-initialised layers."""
    found = build_pipeline(
        task="imagenet",
        dataset="openmoji",
        tokenizer="openmoji-vae",
        backbone={"name": "lightning-dit", "hidden": 64, "depth": 4, "heads": 4},
        objective="flow",
        sampler={"name": "euler", "steps": 10},
        guidance={"cfg": {"scale": 2.0}},
        image_size=size,
    )
    fill_zero_parameters(found.backbone)
    return found


def differences(one: Tensor, other: Tensor) -> tuple[float, int, int, int]:
    """Return the largest difference before rounding, and numbers of differing images, values and levels after it."""
    levels = (to_uint8(one).int() - to_uint8(other).int()).abs()  # [B, ...]
    pictures = int((levels.flatten(1) > 0).any(1).sum())
    return float((one - other).abs().max()), pictures, int((levels > 0).sum()), int(levels.max())


def main() -> None:
    torch.set_num_threads(1)
    together, alone = (KeyedRNG(0, slots).normal("noise", (8, 8, 8)) for slots in (range(COUNT), [3]))
    equal = torch.equal(together[3:4], alone)
    print(f"the noise of a sample is {'equal' if equal else 'NOT equal'} in batches of 1 and {COUNT}")
    for size in SIZES:
        model = pipeline(size)
        labels = [index % 64 for index in range(COUNT)]
        images = {batch: model.generate(labels, batch_size=batch, tensors=True) for batch in BATCHES}
        for one, other in combinations(BATCHES, 2):
            apart, pictures, values, levels = differences(images[one], images[other])
            total = images[one].numel()
            print(
                f"{size} px, batches of {one} and {other}: {apart:.1e} before rounding; {pictures} of {COUNT} images"
                f" and {values} of {total:,} values differ, by at most {levels} level"
            )


if __name__ == "__main__":
    main()
