"""Random resized crops against Pillow, and the distribution of their rectangles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from nanogen_core.randomness import KeyedRNG
from nanogen_pixel.crops import Crops, cropped, random_crops

IMAGES = torch.rand(6, 3, 40, 56, generator=torch.Generator().manual_seed(0)) * 2 - 1


def by_pillow(image: torch.Tensor, box: tuple[float, ...], side: int) -> np.ndarray:
    """One image [3, H, W], channel by channel in float."""
    channels = [Image.fromarray(channel.numpy()) for channel in image]
    return np.stack([np.asarray(c.resize((side, side), Image.Resampling.BICUBIC, box=box)) for c in channels])


@pytest.mark.parametrize("side", [12, 64])  # smaller and larger than the crops
def test_a_crop_is_pillows_resize_with_a_box(side: int) -> None:
    crops = random_crops(KeyedRNG(0, range(6)), 40, 56)
    found = cropped(IMAGES, crops, side)
    assert found.shape == (6, 3, side, side)
    for row, (top, left, height, width) in enumerate(zip(*(value.tolist() for value in crops), strict=True)):
        expected = by_pillow(IMAGES[row], (left, top, left + width, top + height), side)
        np.testing.assert_allclose(found[row], expected, atol=2e-5)


def test_the_whole_image_is_torchs_interpolation() -> None:
    whole = Crops(*(torch.full((6,), value) for value in (0.0, 0.0, 40.0, 56.0)))
    expected = F.interpolate(IMAGES, size=(24, 24), mode="bicubic", antialias=True)
    torch.testing.assert_close(cropped(IMAGES, whole, 24), expected, rtol=1e-4, atol=1e-5)


def test_rectangles_are_whole_pixels_inside_the_image_with_their_distribution() -> None:
    top, left, height, width = random_crops(KeyedRNG(0, range(4000)), 200, 200)
    for value in (top, left, height, width):
        assert torch.equal(value, value.round())
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 200).all()
    assert (left + width <= 200).all()
    inside = (height < 200) & (width < 200)  # others are cut at the border
    area, aspect = height * width / 200**2, (width / height).log()
    assert ((area > 0.075) & (area <= 1)).all()
    assert aspect[inside].abs().max() < math.log(4 / 3) + 0.03
    assert abs(float((aspect[inside & (area < 0.6)] > 0).double().mean()) - 0.5) < 0.05
    shares = [float((area <= limit).double().mean()) for limit in (0.31, 0.54)]
    assert shares == pytest.approx([0.25, 0.5], abs=2.6 * 0.5 / 4000**0.5)
    place = top[inside] / (200 - height[inside])
    assert float(place.mean()) == pytest.approx(0.5, abs=0.03)
    assert place.max() == 1
    assert place.min() == 0


def test_crops_are_keyed_by_slot_and_step() -> None:
    whole, part = random_crops(KeyedRNG(3, range(6), step=2), 40, 56), random_crops(KeyedRNG(3, (4, 5), step=2), 40, 56)
    assert all(torch.equal(one[4:], other) for one, other in zip(whole, part, strict=True))
    assert not torch.equal(whole.top, random_crops(KeyedRNG(3, range(6), step=3), 40, 56).top)


def test_a_gradient_reaches_the_images_in_float32_under_autocast() -> None:
    images = IMAGES.clone().requires_grad_()
    crops = random_crops(KeyedRNG(0, range(6)), 40, 56)
    with torch.autocast("cpu", torch.bfloat16):
        found = cropped(images, crops, 24)
    torch.testing.assert_close(found, cropped(IMAGES, crops, 24))
    found.sum().backward()
    assert images.grad is not None
    assert all(bool(row.abs().sum() > 0) for row in images.grad)
