"""Train the judge of the caption task, after the VAE.

`python -m nanogen_openmoji.make.scene_reader [--steps N] [--bf16]`
"""

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nanogen_openmoji import shipped
from nanogen_openmoji.drawings import class_names
from nanogen_openmoji.make import pictures
from nanogen_openmoji.make.degrade import faulty, recoded
from nanogen_openmoji.make.garbage import blobs, noise, warped
from nanogen_openmoji.make.training import Recipe, fit
from nanogen_openmoji.render import render
from nanogen_openmoji.scene_reader import GRID, PAINTS, Cells, SceneReader
from nanogen_openmoji.scenes import Scene, World, scenes
from nanogen_openmoji.vae import TinyVAE
from nanogen_openmoji.verdict import rates, verdict

SCENES, SPOILT = 64, 12  # of each kind in a step


def main() -> None:
    """Train, measure, write `weights/scene_reader.safetensors`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    network, vae, generator = SceneReader(), TinyVAE.load(), Generator().manual_seed(0)
    recipe = Recipe(steps=options.steps, bf16=options.bf16)
    seconds = fit(network, lambda step: _loss(network, vae, step, generator), recipe)
    shipped.save(network, "scene_reader")
    print({"seconds": round(seconds)} | figures(SceneReader.load(), vae))


def _loss(network: SceneReader, vae: TinyVAE, step: int, generator: Generator) -> Tensor:
    chosen = pictures.mixed_scenes(step, SCENES + SPOILT)
    order = torch.randperm(len(chosen), generator=generator).tolist()
    chosen = [chosen[k] for k in order]
    images = render(chosen)
    good, bad = images[:SCENES], images[SCENES:].chunk(3)
    spoilt = [way(part, generator) for way, part in zip((warped, blobs, noise), bad, strict=True)]
    return loss(network(torch.cat([faulty(good, vae, generator), *spoilt])), targets(chosen[:SCENES]))


def loss(cells: Cells, truth: Cells) -> Tensor:
    """Cross-entropy: of centres everywhere, of names and paints at centres; images beyond the truth are empty."""
    known = len(truth.centre)
    mass = F.pad(truth.centre, (0, 0, 0, 0, 0, len(cells.centre) - known))
    centre = F.binary_cross_entropy_with_logits(cells.centre, mass, reduction="sum") / len(mass)
    name = F.cross_entropy(cells.name[:known], truth.name, reduction="none")  # [B, 8, 8]
    paint = F.cross_entropy(cells.paint[:known], truth.paint, reduction="none")
    return centre + ((name + paint) * truth.centre).sum() / known


def targets(chosen: Sequence[Scene]) -> Cells:
    """The truth: each object's centre shared among the four nearest cells; there its name and paint, [B, 8, 8]."""
    centre = torch.zeros(len(chosen), GRID, GRID)
    name, paint = torch.zeros(2, len(chosen), GRID, GRID, dtype=torch.long)
    for image, scene in enumerate(chosen):
        for item in scene.objects:
            x, y = item.x * GRID - 0.5, item.y * GRID - 0.5
            for row in (int(y), int(y) + 1):
                for column in (int(x), int(x) + 1):
                    centre[image, row, column] += (1 - abs(x - column)) * (1 - abs(y - row))
                    name[image, row, column] = class_names().index(item.name)
                    paint[image, row, column] = PAINTS.index(item.colour)
    return Cells(centre, name, paint)


def figures(network: SceneReader, vae: TinyVAE) -> dict[str, dict[str, float]]:
    """Share of 2,048 fresh scenes read right: of the task, the same through the VAE, and of all 64 drawings.

    "wrong_captions" is the share of the captions of other scenes that are accepted.
    """
    fresh = {"task": pictures.TASK_WORLD, "all_64": World(objects=class_names())}
    chosen = {key: scenes(range(2048), seed=pictures.FRESH, world=world) for key, world in fresh.items()}
    images = {key: render(each) for key, each in chosen.items()}
    return {
        "task": _rates(network, chosen["task"], images["task"]),
        "task_reconstructed": _rates(network, chosen["task"], recoded(images["task"], vae)),
        "all_64": _rates(network, chosen["all_64"], images["all_64"]),
        "wrong_captions": _rates(network, chosen["task"], images["task"].roll(1, dims=0)),
    }


def _rates(network: SceneReader, chosen: Sequence[Scene], images: Tensor) -> dict[str, float]:
    found = network.read(images)
    shares = rates([verdict(scene.meaning, objects) for scene, objects in zip(chosen, found, strict=True)])
    return {skill: round(share, 4) for skill, share in shares.items()}


if __name__ == "__main__":
    main()
