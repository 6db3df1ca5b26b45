"""The contracts of manifest and samplers, and each sampler in a pipeline of both tasks."""

from __future__ import annotations

import pytest
import torch

from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import ConfigError, Incompatible
from nanogen_core.testing import PluginContract, SamplerContract
from nanogen_samplers import SDE, DPMSolver2M, MultistepConfig, SDEConfig, UniPC

torch.set_num_threads(1)
NAMES = ("sde", "dpm-solver-2m", "unipc")


@pytest.fixture
def manifest():
    return "nanogen_samplers.plugin"


class TestPlugin(PluginContract):
    pass


class TestSDE(SamplerContract):
    order = 0

    @pytest.fixture
    def sampler(self):
        return SDE(SDEConfig())


class TestStochasticDiffusion(SamplerContract):
    """The diffusion of the forward process, whose first steps need a small step size."""

    order = 0
    steps = 250

    @pytest.fixture
    def sampler(self):
        return SDE(SDEConfig(diffusion="sbdm", last_step="tweedie"))


class TestDPMSolver2M(SamplerContract):
    order = 2
    steps = 128  # on a uniform grid the error is n^-2 log n

    @pytest.fixture
    def sampler(self):
        return DPMSolver2M(MultistepConfig())


class TestUniPC(SamplerContract):
    order = 2

    @pytest.fixture
    def sampler(self):
        return UniPC(MultistepConfig())


# -- in a pipeline ---------------------------------------------------------------------------------------------------


def tiny(task, **options):
    """Build a pipeline on the drawings whose network has random weights in place of zero ones."""
    pipeline = build_pipeline(
        task=task,
        image_size=16,
        dataset={"name": "openmoji", "train": 8, "val": 8},
        tokenizer="openmoji-vae",
        backbone={"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
        **{"objective": "flow", **options},
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in pipeline.backbone.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return pipeline


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("task", "requests"), [("imagenet", [0, 1, 2]), ("t2i", ["a red apple", "a dog", "two cats"])])
def test_a_pipeline_of_each_task_samples_with_it(task, requests, name):
    pipeline = tiny(task, sampler={"name": name, "steps": 4}, guidance={"cfg": {"scale": 2.0}})
    images = pipeline.generate(requests, tensors=True)
    assert images.isfinite().all()
    assert torch.allclose(images, pipeline.generate(requests, tensors=True, batch_size=1), atol=1e-4)
    assert not torch.allclose(images, pipeline.generate(requests, tensors=True, guidance=1.0), atol=1e-3)


def test_more_steps_converge_to_the_flow_of_the_network():
    """The reference is Heun's method with 400 steps. Euler's method is off by 0.04 with 100 steps, 0.01 with 400."""
    pipeline = tiny("imagenet", sampler={"name": "heun", "steps": 400})
    exact = pipeline.generate(0, tensors=True)
    for name, steps in (("unipc", 100), ("dpm-solver-2m", 400)):
        images = pipeline.reconfigured({"sampler": {"name": name, "steps": steps}}).generate(0, tensors=True)
        assert (images - exact).abs().max() < 5e-3


def test_they_need_an_instantaneous_velocity():
    with pytest.raises(Incompatible, match="sampler 'unipc' needs an objective that provides 'instantaneous-velocity'"):
        resolve(
            {"task": "imagenet", "dataset": "openmoji", "tokenizer": "openmoji-vae", "backbone": "ddt"}
            | {"objective": "meanflow", "sampler": "unipc"}
        )


def test_options_of_the_sde_have_limits():
    for options, message in (({"last_step_size": 1.0}, "last_step_size"), ({"diffusion": "sine"}, "diffusion")):
        with pytest.raises(ConfigError, match=message):
            resolve(
                {"task": "imagenet", "dataset": "openmoji", "tokenizer": "openmoji-vae", "backbone": "ddt"}
                | {"objective": "flow", "sampler": {"name": "sde", **options}}
            )
