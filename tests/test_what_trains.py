"""Every parameter is trained, or refused: those of conditioners and objectives too."""

from pathlib import Path

import pytest
import torch
from torch import nn

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import TrainingError
from nanogen_core.tensors import Condition
from nanogen_files import storage
from nanogen_flow.objective import Flow
from nanogen_imagenet.label import Label
from nanogen_train.checkpoint import checkpoint
from nanogen_train.trainer.loop import Run
from nanogen_train.trainer.untrained import refuse_untrained


class LearnedLabel(nn.Module):
    """Labels whose one-hot tokens are scaled by learned numbers."""

    def __init__(self, config, *, classes):
        super().__init__()
        self.inner = Label(config, classes=classes)
        self.spec = self.inner.spec
        self.scale = nn.Parameter(torch.ones(self.spec.width))

    def encode(self, batch):
        return Condition(self.inner.encode(batch).tokens * self.scale)

    def null(self, count):
        return Condition(self.inner.null(count).tokens * self.scale)


class LearnedFlow(Flow, nn.Module):
    """Flow with a learned weight of its loss."""

    def __init__(self, config, *, latent):
        nn.Module.__init__(self)
        Flow.__init__(self, config, latent=latent)
        self.weight = nn.Parameter(torch.ones(1))

    def loss(self, *arguments):
        found = super().loss(*arguments)
        return found._replace(total=found.total * self.weight.squeeze())


@pytest.fixture
def learned(monkeypatch):
    monkeypatch.setattr("nanogen_imagenet.label.Label", LearnedLabel)
    monkeypatch.setattr("nanogen_flow.objective.Flow", LearnedFlow)


def trained(config, folder: Path, **options):
    return Run(build_pipeline(config), folder, **options).train()


@pytest.fixture
def short(small):
    small["train"].update(steps=4, checkpoint_every=2, sample_every=2)
    small["stage"]["condition_dropout"] = 0.5
    return small


def test_weights_of_a_conditioner_and_an_objective_are_trained_averaged_and_saved(short, learned, tmp_path):
    trained(short, tmp_path)
    nets = checkpoint.load(tmp_path, 4)[0]["nets"]
    for part, name in (("conditioner", "scale"), ("objective", "weight")):
        moved, averaged = nets[f"{part}.{name}"], nets[f"ema_{part}.{name}"]
        assert not torch.equal(moved, torch.ones_like(moved))
        assert not torch.equal(moved, averaged)
        assert torch.equal(storage.read_tensors(tmp_path / f"{part}.safetensors")[name], averaged)
    assert torch.equal(Pipeline.load(tmp_path).conditioner.scale, nets["ema_conditioner.scale"])


def test_they_resume_bit_for_bit(short, learned, tmp_path):
    trained(short, tmp_path / "whole")
    stopped = {**short, "train": {**short["train"], "keep_last": 5}}
    trained(stopped, tmp_path / "stopped")
    storage.remove_folder(checkpoint.path_of(tmp_path / "stopped", 4))
    trained(stopped, tmp_path / "stopped", resume=True)
    whole, resumed = (checkpoint.load(tmp_path / name, 4)[0] for name in ("whole", "stopped"))
    for part, tensors in whole.items():
        assert all(torch.equal(tensor, resumed[part][name]) for name, tensor in tensors.items())


def test_two_steps_of_the_objective_s_weight_are_adam_s(short, learned, tmp_path):
    """The gradient of `weight * loss` with respect to the weight is the loss, and Adam's first step is the rate."""
    short["train"].update(steps=1, gradient_clip=None)
    short["optimizer"] = {"name": "adamw", "lr": 1e-3, "eps": 1e-12}
    short["schedule"] = {"name": "constant-linear", "constant_steps": 10, "end_step": 20}
    trained(short, tmp_path)
    weight = checkpoint.load(tmp_path, 1)[0]["nets"]["objective.weight"]
    torch.testing.assert_close(weight, torch.tensor([1 - 1e-3]), rtol=0, atol=1e-6)


def test_a_parameter_that_nothing_trains_is_refused(short, tmp_path, monkeypatch):
    from nanogen_openmoji.tokenizer import OpenMojiVAE

    before = OpenMojiVAE.__init__

    def with_parameter(self, *arguments, **options):
        before(self, *arguments, **options)
        self.gain = nn.Parameter(torch.ones(3))

    monkeypatch.setattr(OpenMojiVAE, "__init__", with_parameter)
    with pytest.raises(TrainingError, match="No optimizer trains the tokenizer's parameter 'gain'. Call"):
        trained(short, tmp_path)


@pytest.mark.parametrize("base", [object, nn.Module])
@pytest.mark.parametrize(("holder", "name"), [(list, "heads[0].bias"), (dict, "heads['a'].bias")])
def test_parameters_in_lists_and_mappings_are_refused(base, holder, name):
    """torch does not find modules in them, so no optimizer would get their parameters."""
    part, head = type("Part", (base,), {})(), nn.Linear(2, 2)
    part.heads = [head] if holder is list else {"a": head}
    with pytest.raises(TrainingError) as caught:
        refuse_untrained({"auxiliary": part}, trained=[])
    assert f"No optimizer trains the auxiliary's parameter {name!r} and 1 more. Hold modules in" in str(caught.value)
    refuse_untrained({"auxiliary": part}, trained=head.parameters())
    refuse_untrained({"auxiliary": part}, trained=head.requires_grad_(False).parameters())


def test_captions_encoded_before_training_are_refused_where_the_conditioner_learns(short, learned, monkeypatch):
    from types import SimpleNamespace

    from nanogen_data.precomputed.training import _refuse_learning_conditioner

    pipeline = build_pipeline(short)
    _refuse_learning_conditioner(SimpleNamespace(identity={"text": None}), pipeline.parts)
    with pytest.raises(TrainingError, match="Train on images"):
        _refuse_learning_conditioner(SimpleNamespace(identity={"text": {"name": "x"}}), pipeline.parts)


def test_fsdp_trains_them_too(short, learned, tmp_path):
    """One process that shares with nobody has the weights of DDP."""
    trained(short, tmp_path / "ddp")
    short["train"]["strategy"] = "fsdp"
    try:
        trained(short, tmp_path / "fsdp")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    for part in ("conditioner", "objective", "backbone"):
        ddp, fsdp = (storage.read_tensors(tmp_path / name / f"{part}.safetensors") for name in ("ddp", "fsdp"))
        for name, tensor in ddp.items():
            torch.testing.assert_close(fsdp[name], tensor, rtol=1e-4, atol=1e-5)


def test_fsdp_refuses_a_scalar_parameter(short, learned, tmp_path, monkeypatch):
    class Scalar(LearnedFlow):
        def __init__(self, config, *, latent):
            super().__init__(config, latent=latent)
            self.weight = nn.Parameter(torch.ones(()))

    monkeypatch.setattr("nanogen_flow.objective.Flow", Scalar)
    short["train"]["strategy"] = "fsdp"
    try:
        with pytest.raises(TrainingError, match=r"objective.weight is a scalar parameter: give it the shape \[1\]"):
            trained(short, tmp_path)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
