"""The pictures that the shipped networks learn from: more varied than any task's own."""

import torch
from torch import Tensor

from nanogen_openmoji.class_images import MILD, WIDE, balanced_labels, class_images
from nanogen_openmoji.drawings import class_names
from nanogen_openmoji.scenes import Scene, World, scenes

SEED = 1000  # of training; the figures in the model cards come from FRESH
FRESH = 2000
TASK_WORLD = World()
WIDE_WORLD = World(
    tinted=0.4, jitter=0.06, degrees=15, scale=0.15, large=0.67, small=0.4, background=(0.6, 1.0)
)  # fmt: skip
EVERYTHING = World(
    objects=class_names(), tinted=0.4, jitter=0.06, degrees=15, scale=0.15, large=0.67, small=0.4, background=(0.6, 1.0)
)  # fmt: skip


def numbers(step: int, count: int) -> Tensor:
    """The indices of a step's images, [count]: each image of the endless set is used once."""
    return torch.arange(step * count, (step + 1) * count)


def drawings(step: int, count: int, size: int = 64) -> Tensor:
    """[count, 3, size, size] single drawings, half as the class task shows them and half far more varied."""
    indices = numbers(step, count)
    labels = balanced_labels(indices * 37 + step)  # each step shows other classes under each augmentation
    half = count // 2
    mild = class_images(labels[:half], indices[:half], size=size, seed=SEED, augment=MILD)
    wide = class_images(labels[half:], indices[half:], size=size, seed=SEED, augment=WIDE)
    return torch.cat([mild, wide])


def mixed_scenes(step: int, count: int) -> list[Scene]:
    """A third each: scenes of the caption task, varied ones of the same objects, varied ones of all 64."""
    worlds = (TASK_WORLD, WIDE_WORLD, EVERYTHING)
    indices = numbers(step, count).tolist()
    return [scene for k, world in enumerate(worlds) for scene in scenes(indices[k::3], seed=SEED, world=world)]
