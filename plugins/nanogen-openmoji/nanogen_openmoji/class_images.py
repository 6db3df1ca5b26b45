"""Images of the class-conditional task: one emoji on a plain light background."""

from __future__ import annotations

import math

import attrs
from torch import Tensor

from nanogen_openmoji.compositing import Placement, over, place_sprites
from nanogen_openmoji.counter_rng import uniform
from nanogen_openmoji.emojis import classes
from nanogen_openmoji.sprites import sprites


@attrs.frozen(kw_only=True)
class Augmentation:
    """Ranges of the random transformation of an emoji."""

    scale: tuple[float, float] = (0.8, 0.95)  # side of the emoji as a share of the image
    shift: float = 0.03  # maximum shift of the centre in each direction, as a share of the image
    degrees: float = 6.0  # maximum rotation to either side
    flip: bool = False  # whether to mirror half of the images left to right
    background: tuple[float, float] = (0.8, 1.0)  # each channel of the background, in [0, 1]


NONE = Augmentation(scale=(0.9, 0.9), shift=0.0, degrees=0.0, flip=False, background=(1.0, 1.0))
MILD = Augmentation()
WIDE = Augmentation(scale=(0.53, 1.07), shift=0.12, degrees=25.0, flip=True, background=(0.55, 1.0))


def class_images(
    labels: Tensor, indices: Tensor, *, size: int = 64, seed: int = 0, augment: Augmentation = MILD
) -> Tensor:
    """Generate one image per label.

    Args:
        labels: [B] integers in [0, 64).
        indices: [B] integers. The image of an index and seed is bit-identical in any batch.
        size: S, the side of the images in pixels.
        seed: The seed of the dataset.
        augment: The random transformation.

    Returns:
        [B, 3, S, S] float32 in [-1, 1].
    """
    random = uniform(seed, "class image", indices, 8)  # [B, 8]
    emojis = sprites(size)[labels]  # [B, 4, size, size]
    placed = place_sprites(emojis, _placement(random[:, :5], augment), size)
    background = between(random[:, 5:8], *augment.background)[:, :, None, None]  # [B, 3, 1, 1]
    return over(placed, background) * 2 - 1


def balanced_labels(indices: Tensor) -> Tensor:
    """Return labels [B] in [0, 64) of an endless dataset. Any 64 consecutive images show each class once."""
    return indices % len(classes())


def between(random: Tensor, low: float, high: float) -> Tensor:
    """Scale uniform numbers from [0, 1) to [low, high)."""
    return low + (high - low) * random


def _placement(random: Tensor, augment: Augmentation) -> Placement:
    size, x, y, angle, flip = random.T.contiguous()  # each [B]
    return Placement(
        x=0.5 + between(x, -augment.shift, augment.shift),
        y=0.5 + between(y, -augment.shift, augment.shift),
        size=between(size, *augment.scale),
        angle=between(angle, -1, 1) * math.radians(augment.degrees),
        flip=1 - 2 * (flip < 0.5 * augment.flip).float(),
    )
