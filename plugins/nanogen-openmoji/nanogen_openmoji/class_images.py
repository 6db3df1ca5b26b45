"""Images of the class task: one drawing on a plain light background."""

import math

import attrs
from torch import Tensor

from nanogen_openmoji.drawings import classes
from nanogen_openmoji.keyed import uniform
from nanogen_openmoji.place import Placement, over, place
from nanogen_openmoji.sprites import sprites


@attrs.frozen(kw_only=True)
class Augmentation:
    """How far an image may differ from its drawing."""

    scale: tuple[float, float] = (0.8, 0.95)  # side of the drawing as a share of the image
    shift: float = 0.03  # of the centre, in each direction, as a share of the image
    degrees: float = 6.0  # of rotation, to either side
    flip: bool = False  # mirror half of the images left to right
    background: tuple[float, float] = (0.8, 1.0)  # each channel of the plain colour, in [0, 1]


NONE = Augmentation(scale=(0.9, 0.9), shift=0.0, degrees=0.0, flip=False, background=(1.0, 1.0))
MILD = Augmentation()
WIDE = Augmentation(scale=(0.53, 1.07), shift=0.12, degrees=25.0, flip=True, background=(0.55, 1.0))


def class_images(
    labels: Tensor, indices: Tensor, *, size: int = 64, seed: int = 0, augment: Augmentation = MILD
) -> Tensor:
    """Draw one image per label.

    Args:
        labels: [B] integers in [0, 64).
        indices: [B] integers; image `index` of `seed` has the same bits in any batch.
        size: side of the images in pixels.
        seed: names the data set; another seed gives other images.
        augment: how far images differ from the drawing.

    Returns:
        [B, 3, size, size] float32 in [-1, 1].
    """
    random = uniform(seed, "class image", indices, 8)  # [B, 8]
    drawings = sprites(size)[labels]  # [B, 4, size, size]
    placed = place(drawings, _placement(random[:, :5], augment), size)
    background = between(random[:, 5:8], *augment.background)[:, :, None, None]  # [B, 3, 1, 1]
    return over(placed, background) * 2 - 1


def balanced_labels(indices: Tensor) -> Tensor:
    """The label of each image of the endless training set, [B] in [0, 64): 64 images in a row show each class once."""
    return indices % len(classes())


def between(random: Tensor, low: float, high: float) -> Tensor:
    """Stretch uniform numbers from [0, 1) to [low, high)."""
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
