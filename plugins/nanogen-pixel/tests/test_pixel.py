"""The identity tokenizer, and what the method `pixel` says."""

from __future__ import annotations

import math
import subprocess
import sys

import torch

from nanogen_core.config import import_object
from nanogen_core.protocols import Tokenizer
from nanogen_pixel.plugin import nanogen_components, nanogen_methods
from nanogen_pixel.tokenizer import Pixel


def test_images_pass_through_unchanged() -> None:
    images = torch.rand(2, 3, 32, 32) * 4 - 2
    assert isinstance(Pixel(), Tokenizer)
    assert torch.equal(Pixel().decode(Pixel().encode(images)), images)


def test_the_latent_is_the_image_in_patches_of_sixteen() -> None:
    spec = Pixel().latent(256)
    assert (spec.shape, spec.patch_size) == ((3, 256, 256), 16)
    assert math.isclose(spec.time_shift, 6.928, abs_tol=1e-3)  # as published


def test_the_method_is_that_of_jit() -> None:
    (method,) = nanogen_methods()
    assert method.defaults["objective"] == {
        "name": "flow", "prediction": "x", "time_mean": -1.1, "time_std": 0.8, "sample_shift": 1.0
    }  # fmt: skip
    assert all(import_object(component.target) for component in nanogen_components())


def test_the_manifest_loads_no_torch() -> None:
    code = "import sys, nanogen_pixel.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
