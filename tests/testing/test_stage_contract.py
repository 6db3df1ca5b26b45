"""Stages that are wrong in one way, and the test of the contract that fails for each."""

import pytest
import torch
from contracts import failures
from test_auxiliary_contract import SMALL
from torch import nn

from nanogen_core import build_pipeline
from nanogen_train import Diffusion, DiffusionConfig
from nanogen_train.testing import StageContract

STAGE = DiffusionConfig(ema_decay=0.5)


class FrozenNetwork(Diffusion):
    def parameters_of(self, phase):
        return super().parameters_of(phase)[:0]


class Twice(Diffusion):
    phase_names = ("student", "again")


class OutsideNets(Diffusion):
    def parameters_of(self, phase):
        return [*super().parameters_of(phase), ("extra", nn.Parameter(torch.zeros(1)))]


class Forgetful(Diffusion):
    """Keeps state outside `nets`."""

    count = 0

    def loss(self, phase, batch, rng):
        losses = super().loss(phase, batch, rng)
        self.count += 1
        return losses._replace(total=losses.total * (1 + self.count))


class Doubling(Diffusion):
    def prepare(self, batch, step):
        batch = super().prepare(batch, step)
        return batch._replace(latents=2 * batch.latents)


class Random(Diffusion):
    def loss(self, phase, batch, rng):
        losses = super().loss(phase, batch, rng)
        return losses._replace(total=losses.total + torch.rand(()))


class GreySamples(Diffusion):
    def samples(self, count):
        images, captions = super().samples(count)
        return images[:, :1], captions


BROKEN = {
    FrozenNetwork: {"every_phase_trains_its_parameters"},
    Twice: {"no_parameter_is_in_two_phases"},
    OutsideNets: {"trained_parameters_are_in_nets"},
    Forgetful: {"a_resumed_stage_continues_alike", "loss_uses_only_its_rng"},
    Doubling: {"prepare_is_idempotent"},
    Random: {"loss_uses_only_its_rng"},
    GreySamples: {"samples_are_images_with_captions"},
}


def pipeline_with(stage):
    pipeline = build_pipeline(SMALL)
    pipeline.parts.supply("stage", stage(STAGE, pipeline=pipeline, auxiliaries={}))
    return pipeline


def test_the_diffusion_stage_passes():
    assert failures(StageContract, pipeline=pipeline_with(Diffusion)) == set()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_stage_is_caught(broken):
    assert failures(StageContract, pipeline=pipeline_with(broken)) >= BROKEN[broken]
