"""Auxiliary losses that are wrong in one way, and the test of the contract that fails for each."""

import pytest
import torch
from contracts import failures
from torch import nn

from nanogen_core import build_pipeline
from nanogen_core.tensors import Losses
from nanogen_train import Auxiliary
from nanogen_train.testing import AuxiliaryContract

SMALL = {
    "task": "imagenet",
    "image_size": 32,
    "dataset": {"name": "openmoji", "train": 32, "val": 16},
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 2, "heads": 1},
    "objective": "flow",
    "sampler": {"name": "euler", "steps": 2},
}


class Healthy(Auxiliary):
    """Mean square of projected block outputs, weighted by the mean colour of the image."""

    intermediates = ("block.1",)

    def __init__(self):
        torch.manual_seed(0)
        self.nets = nn.Linear(16, 3)

    def prepare(self, batch):
        return {"colour": batch.images.mean(dim=(2, 3))}  # [B, 3]

    def loss(self, forward_pass, clean, batch, nets, rng):
        projected = self.nets(forward_pass.prediction.features["block.1"]).mean(dim=1)  # [B, 3]
        loss = (projected - batch.extras["colour"]).square().mean()
        return Losses(loss, {"colour": loss.detach()})


class Summed(Healthy):
    def loss(self, *arguments):
        losses = super().loss(*arguments)
        return losses._replace(total=losses.total * len(arguments[2].indices))


class Random(Healthy):
    def loss(self, *arguments):
        losses = super().loss(*arguments)
        return losses._replace(total=losses.total + torch.rand(()))


class Vector(Healthy):
    def loss(self, *arguments):
        losses = super().loss(*arguments)
        return losses._replace(total=losses.total.expand(2))


class Attached(Healthy):
    def loss(self, *arguments):
        losses = super().loss(*arguments)
        return Losses(losses.total, {"colour": losses.total})


class Detached(Healthy):
    def loss(self, *arguments):
        losses = super().loss(*arguments)
        return losses._replace(total=losses.total.detach())


class IdleNetwork(Healthy):
    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleDict({"used": self.nets, "idle": nn.Linear(2, 2)})

    def loss(self, *arguments):
        whole, self.nets = self.nets, self.nets["used"]
        try:
            return super().loss(*arguments)
        finally:
            self.nets = whole


class OneRow(Healthy):
    def prepare(self, batch):
        return {"colour": batch.images.mean(dim=(0, 2, 3))[None]}


class UndeclaredToken(Healthy):
    def cls_token(self, batch):
        return torch.zeros(len(batch.indices), 5)


class NeverActive(Healthy):
    def active(self, step):
        return False


BROKEN = {
    Summed: {"loss_is_the_mean_over_samples"},
    Random: {"loss_uses_only_its_rng"},
    Vector: {"loss_is_a_finite_scalar"},
    Attached: {"loss_is_a_finite_scalar"},
    Detached: {"loss_trains_its_networks_and_the_backbone"},
    IdleNetwork: {"loss_trains_its_networks_and_the_backbone"},
    OneRow: {"prepared_extras_have_a_row_for_each_example"},
    UndeclaredToken: {"class_token_has_its_width"},
    NeverActive: {"has_the_members_of_the_protocol"},
}


def pipeline_with(auxiliary):
    return build_pipeline(SMALL, auxiliary=auxiliary)


def test_a_healthy_auxiliary_passes():
    assert failures(AuxiliaryContract, pipeline=pipeline_with(Healthy())) == set()


@pytest.mark.parametrize("name", ["repa", "irepa", "reg"])
def test_the_published_alignment_losses_pass(name):
    block = {} if name == "reg" else {"block": 1}
    options = {"teacher": "openmoji-classifier", **block}
    options |= {"token": "mean"} if name == "reg" else {}
    assert failures(AuxiliaryContract, pipeline=pipeline_with({name: options})) == set()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_auxiliary_is_caught(broken):
    assert failures(AuxiliaryContract, pipeline=pipeline_with(broken())) >= BROKEN[broken]


def test_a_loss_without_a_member_is_refused_when_it_is_built():
    class Bare:
        def loss(self):
            pass

    with pytest.raises(Exception, match=r"does not implement .*Auxiliary: it lacks .*intermediates"):
        pipeline_with(Bare()).parts["auxiliaries"]["Bare"]
