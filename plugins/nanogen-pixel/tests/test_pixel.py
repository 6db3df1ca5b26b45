"""The identity tokenizer and the methods on pixels."""

from __future__ import annotations

import math

import pytest
import torch

from nanogen_core.testing import PluginContract, TokenizerContract
from nanogen_pixel.plugin import nanogen_methods
from nanogen_pixel.tokenizer import Pixel


@pytest.fixture
def manifest() -> str:
    return "nanogen_pixel.plugin"


@pytest.fixture
def tokenizer() -> Pixel:
    return Pixel()


class TestPlugin(PluginContract):
    pass


class TestPixel(TokenizerContract):
    wrong_size = None
    reconstruction = 0.0


def test_images_pass_through_unchanged_even_outside_their_range() -> None:
    images = torch.rand(2, 3, 32, 32) * 4 - 2
    assert torch.equal(Pixel().decode(Pixel().encode(images)), images)


def test_the_latent_is_the_image_in_patches_of_sixteen() -> None:
    spec = Pixel().latent(256)
    assert (spec.shape, spec.patch_size) == ((3, 256, 256), 16)
    assert math.isclose(spec.time_shift, 6.928, abs_tol=1e-3)  # as published


def test_the_methods_are_those_of_the_papers() -> None:
    objectives = {method.name: method.defaults["objective"] for method in nanogen_methods()}
    jit = {"name": "flow", "prediction": "x", "time_mean": -1.1, "time_std": 0.8, "sample_shift": 1.0}
    assert objectives["jit"] == objectives["pixel"] == objectives["pixelgen"] == jit
    assert objectives["pixnerd"] == {"name": "flow", "time_mean": -1.94, "sample_shift": 1.0}
    exceptions = {method.name: method.per_task for method in nanogen_methods() if method.per_task}
    assert exceptions == {"pixnerd": {"t2i": {"objective": {"sample_shift": None}}}}
