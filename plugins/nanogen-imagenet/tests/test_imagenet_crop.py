"""The crop is ADM's: box halving, bicubic, centre; and the flip depends on its number alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nanogen_imagenet.crop import CropAndFlip, centre_crop


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_halving_is_the_mean_of_two_by_two_pixels() -> None:
    image = picture(64, 64)
    blocks = np.asarray(image, dtype=np.float64).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(centre_crop(image, 32)) - blocks).max() <= 1  # Pillow rounds after each direction


def test_an_image_of_the_right_short_side_is_only_cropped() -> None:
    image = picture(40, 33)
    assert np.array_equal(np.asarray(centre_crop(image, 33)), np.asarray(image)[:, 3:36])


def test_between_one_and_two_times_the_size_it_is_bicubic_alone() -> None:
    image = picture(48, 60)
    expected = image.resize((32, 40), Image.Resampling.BICUBIC).crop((0, 4, 32, 36))
    assert np.array_equal(np.asarray(centre_crop(image, 32)), np.asarray(expected))


@pytest.mark.parametrize("shape", [(500, 375), (33, 100), (20, 31), (257, 255), (1, 300)])
def test_every_shape_comes_out_square(shape: tuple[int, int]) -> None:
    assert centre_crop(picture(*shape), 32).size == (32, 32)


def test_flip_is_the_mirror_image_for_odd_numbers_only() -> None:
    image = picture(32, 32)
    plain, even, odd = (CropAndFlip(32, flip)(image, number) for flip, number in [(False, 1), (True, 2), (True, 3)])
    assert plain.dtype == torch.float32
    assert plain.min() >= -1
    assert plain.max() <= 1
    assert torch.equal(plain, even)
    assert torch.equal(plain.flip(-1), odd)


def test_grey_and_palette_images_become_rgb() -> None:
    assert CropAndFlip(16, False)(Image.new("L", (20, 20)), 0).shape == (3, 16, 16)
    assert CropAndFlip(16, False)(Image.new("P", (20, 20)), 0).shape == (3, 16, 16)
