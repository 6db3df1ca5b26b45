"""Training images of the shipped networks, more varied than the images of the tasks."""

from __future__ import annotations

import torch
from torch import Tensor

from nanogen_openmoji.class_images import MILD, WIDE, balanced_labels, class_images
from nanogen_openmoji.emojis import class_names
from nanogen_openmoji.scenes import Scene, World, scenes

SEED = 1000  # of training
FRESH = 2000  # of the figures in the model cards
TASK_WORLD = World()
WIDE_WORLD = World(
    tinted=0.4, jitter=0.06, degrees=15, scale=0.15, large=0.67, small=0.4, background=(0.6, 1.0)
)  # fmt: skip
EVERYTHING = World(
    objects=class_names(), tinted=0.4, jitter=0.06, degrees=15, scale=0.15, large=0.67, small=0.4, background=(0.6, 1.0)
)  # fmt: skip


def numbers(step: int, count: int) -> Tensor:
    """Return the image indices [count] of a step. Different steps have different indices."""
    return torch.arange(step * count, (step + 1) * count)


def single_emojis(step: int, count: int, size: int = 64) -> Tensor:
    """Return single emojis [count, 3, size, size], half with the augmentation of the task, half with a stronger one."""
    indices = numbers(step, count)
    labels = balanced_labels(indices * 37 + step)  # varies which classes get which augmentation
    half = count // 2
    mild = class_images(labels[:half], indices[:half], size=size, seed=SEED, augment=MILD)
    wide = class_images(labels[half:], indices[half:], size=size, seed=SEED, augment=WIDE)
    return torch.cat([mild, wide])


def mixed_scenes(step: int, count: int) -> list[Scene]:
    """Return `count` scenes: a third as in the task, a third more varied, a third more varied with all 64 classes."""
    worlds = (TASK_WORLD, WIDE_WORLD, EVERYTHING)
    indices = numbers(step, count).tolist()
    return [scene for k, world in enumerate(worlds) for scene in scenes(indices[k::3], seed=SEED, world=world)]
