"""Trains the scene reader, after the VAE: `python -m nanogen_openmoji.make.scene_reader [--steps N] [--bf16]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nanogen_openmoji import weights_files
from nanogen_openmoji.emojis import class_names
from nanogen_openmoji.make import images as training_images
from nanogen_openmoji.make.corruptions import blobs, noise, warped
from nanogen_openmoji.make.degrade import degrade, reconstructed
from nanogen_openmoji.make.training import Recipe, fit
from nanogen_openmoji.render import render
from nanogen_openmoji.scene_reader import COLOUR_CLASSES, GRID, Cells, SceneReader
from nanogen_openmoji.scenes import Scene, World, scenes
from nanogen_openmoji.scoring import check_scene, skill_accuracies
from nanogen_openmoji.vae import TinyVAE

SCENES, CORRUPTED = 64, 12  # images per step


def main() -> None:
    """Train, write `weights/scene_reader.safetensors` and print its accuracies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    network, vae, generator = SceneReader(), TinyVAE.load(), Generator().manual_seed(0)
    recipe = Recipe(steps=options.steps, bf16=options.bf16)
    seconds = fit(network, lambda step: _loss(network, vae, step, generator), recipe)
    weights_files.save(network, "scene_reader")
    print({"seconds": round(seconds)} | figures(SceneReader.load(), vae))


def _loss(network: SceneReader, vae: TinyVAE, step: int, generator: Generator) -> Tensor:
    chosen = training_images.mixed_scenes(step, SCENES + CORRUPTED)
    order = torch.randperm(len(chosen), generator=generator).tolist()
    chosen = [chosen[k] for k in order]
    images = render(chosen)
    valid, parts = images[:SCENES], images[SCENES:].chunk(3)
    corrupted = [corruption(part, generator) for corruption, part in zip((warped, blobs, noise), parts, strict=True)]
    return loss(network(torch.cat([degrade(valid, vae, generator), *corrupted])), targets(chosen[:SCENES]))


def loss(cells: Cells, truth: Cells) -> Tensor:
    """Return the mean loss [] per image: cross-entropy of the centre in all cells, and of name and colour at centres.

    Args:
        cells: Predictions for B images.
        truth: Targets for the first N <= B images. The other images have no objects.
    """
    known = len(truth.centre)
    mass = F.pad(truth.centre, (0, 0, 0, 0, 0, len(cells.centre) - known))
    centre = F.binary_cross_entropy_with_logits(cells.centre, mass, reduction="sum") / len(mass)
    name = F.cross_entropy(cells.name[:known], truth.name, reduction="none")  # [B, 8, 8]
    colour = F.cross_entropy(cells.colour[:known], truth.colour, reduction="none")
    return centre + ((name + colour) * truth.centre).sum() / known


def targets(chosen: Sequence[Scene]) -> Cells:
    """Return the targets of scenes, all [B, 8, 8].

    The four cells nearest to an object share its centre by bilinear weights, and have its name and colour.
    """
    centre = torch.zeros(len(chosen), GRID, GRID)
    name, colour = torch.zeros(2, len(chosen), GRID, GRID, dtype=torch.long)
    for image, scene in enumerate(chosen):
        for item in scene.objects:
            x, y = item.x * GRID - 0.5, item.y * GRID - 0.5
            for row in (int(y), int(y) + 1):
                for column in (int(x), int(x) + 1):
                    centre[image, row, column] += (1 - abs(x - column)) * (1 - abs(y - row))
                    name[image, row, column] = class_names().index(item.name)
                    colour[image, row, column] = COLOUR_CLASSES.index(item.colour)
    return Cells(centre, name, colour)


def figures(network: SceneReader, vae: TinyVAE) -> dict[str, dict[str, float]]:
    """Return the accuracy of each skill on 2,048 new scenes of the task, on their reconstructions by the VAE, and
    on 2,048 new scenes of all 64 classes.

    "wrong_captions" is the share of captions of other scenes that count as correct.
    """
    fresh = {"task": training_images.TASK_WORLD, "all_64": World(objects=class_names())}
    chosen = {key: scenes(range(2048), seed=training_images.FRESH, world=world) for key, world in fresh.items()}
    images = {key: render(each) for key, each in chosen.items()}
    return {
        "task": _rates(network, chosen["task"], images["task"]),
        "task_reconstructed": _rates(network, chosen["task"], reconstructed(images["task"], vae)),
        "all_64": _rates(network, chosen["all_64"], images["all_64"]),
        "wrong_captions": _rates(network, chosen["task"], images["task"].roll(1, dims=0)),
    }


def _rates(network: SceneReader, chosen: Sequence[Scene], images: Tensor) -> dict[str, float]:
    found = network.read(images)
    results = [check_scene(scene.description, objects) for scene, objects in zip(chosen, found, strict=True)]
    return {skill: round(accuracy, 4) for skill, accuracy in skill_accuracies(results).items()}


if __name__ == "__main__":
    main()
