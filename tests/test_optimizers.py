"""Optimisers against torch's own and against their equations; schedules against closed forms; exact resume."""

import copy
import math
import os
import signal

import attrs
import pytest
import torch
from torch import nn

from nanogen_core import build_pipeline, resolve
from nanogen_core.errors import ConfigError, TrainingError
from nanogen_files.structure import structure
from nanogen_train.checkpoint import checkpoint
from nanogen_train.optim.fused import fused_rows
from nanogen_train.optim.muon import MuonOptimizer
from nanogen_train.optim.optimizers import AdamW, Muon
from nanogen_train.optim.schedules import Constant, ConstantLinear, Cosine
from nanogen_train.optim.settings import (
    AdamWConfig,
    ConstantConfig,
    ConstantLinearConfig,
    CosineConfig,
    MuonConfig,
)
from nanogen_train.trainer.loop import Interrupted, Run


class Net(nn.Module):
    """Hidden matrices in `blocks`, with an embedding before and a head after, in an order that mixes both."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Linear(3, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.embedding(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        return self.head(x)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def train(net, optimizer, steps, first=0):
    for step in range(first, first + steps):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        net(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def copy_of(net):
    other = Net()
    other.load_state_dict(net.state_dict())
    return other


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


HIDDEN = ["blocks.0.weight", "blocks.1.weight"]


def test_muon_is_torchs_on_the_hidden_matrices_and_adamw_on_the_rest(net):
    other, config = copy_of(net), MuonConfig(lr=1e-2, weight_decay=0.1)
    named = dict(other.named_parameters())
    muon = torch.optim.Muon([named.pop(n) for n in HIDDEN], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(named.values(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    train(net, Muon(config).build(list(net.named_parameters())), 3)
    for step in range(3):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        other(x).square().mean().backward()
        muon.step()
        adamw.step()
        other.zero_grad()
    assert same(net, other)


class Fused(nn.Module):
    """Three matrices of unequal heights in one parameter, or as parameters of their own."""

    ROWS = (8, 4, 12)

    def __init__(self, apart):
        super().__init__()
        weight = torch.randn(sum(self.ROWS), 8)
        self.blocks = nn.ModuleList([nn.Module()])
        if apart:
            self.blocks[0].parts = nn.ParameterList(part.clone() for part in weight.split(self.ROWS))
        else:
            self.blocks[0].weight = nn.Parameter(weight)
            self.blocks[0].fused_rows = {"weight": self.ROWS}

    def forward(self, x):
        block = self.blocks[0]
        weight = torch.cat(list(block.parts)) if hasattr(block, "parts") else block.weight
        return (x @ weight.T).tanh().square().sum(dim=1)


@pytest.mark.parametrize(("scale", "name"), [("rms", "match_rms_adamw"), ("shape", "original")])
@pytest.mark.parametrize("nesterov", [True, False])
def test_a_fused_parameter_moves_as_its_matrices_do_in_torchs_muon(scale, name, nesterov):
    torch.manual_seed(0)
    fused = Fused(apart=False)
    torch.manual_seed(0)
    apart = Fused(apart=True)
    config = MuonConfig(lr=1e-2, weight_decay=0.1, scale=scale, nesterov=nesterov)
    ours = Muon(config).build(list(fused.named_parameters()), fused_rows(fused))
    torchs = torch.optim.Muon(list(apart.parameters()), lr=1e-2, weight_decay=0.1, adjust_lr_fn=name, nesterov=nesterov)
    as_one = copy.deepcopy(fused)
    wrong = Muon(config).build(list(as_one.named_parameters()))
    for step in range(3):
        x = torch.randn(16, 8, generator=torch.Generator().manual_seed(step))
        for net, optimizer in ((fused, ours), (apart, torchs), (as_one, wrong)):
            net(x).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    parts = torch.cat(list(apart.blocks[0].parts))
    assert torch.equal(fused.blocks[0].weight, parts)
    assert (as_one.blocks[0].weight - parts).abs().max() > 1e-3


def test_a_run_tells_its_optimiser_what_is_fused(small, tmp_path):
    small["optimizer"] = {"name": "muon", "lr": 1e-2}
    run = Run(build_pipeline(small), tmp_path / "run")
    muon = run.optimization.optimizers["student"].members[0]
    rows = {name: muon._fused.get(p) for name, p in run.pipeline.backbone.named_parameters() if "blocks" in name}
    assert rows["encoder.blocks.0.attention.qkv.weight"] == (16, 16, 16)
    assert rows["encoder.blocks.0.mlp.w12.weight"] == (42, 42)
    assert rows["encoder.blocks.0.attention.proj.weight"] is None


def test_rows_that_do_not_add_up_are_an_error():
    net = Fused(apart=False)
    net.blocks[0].fused_rows = {"weight": (8, 8)}
    with pytest.raises(TrainingError, match=r"blocks.0.fused_rows: weight has 24 rows, but .* \[8, 8\] add up to 16"):
        fused_rows(net)


def test_a_copy_of_a_network_is_fused_as_well():
    net = copy.deepcopy(Fused(apart=False))
    assert fused_rows(net) == {net.blocks[0].weight: Fused.ROWS}


def test_a_step_of_muon_is_the_gradient_with_equal_singular_values(net):
    """Without momentum, in the original scale: W - lr U V^T up to what five iterations in bfloat16 leave over."""
    before = net.blocks[0].weight.detach().clone()
    net(torch.randn(16, 3)).square().mean().backward()
    u, _, v = torch.linalg.svd(net.blocks[0].weight.grad)
    config = MuonConfig(lr=1.0, momentum=0.0, nesterov=False, scale="shape")
    Muon(config).build(list(net.named_parameters())).step()
    step = before - net.blocks[0].weight.detach()
    rank = 3  # of the gradient: inputs have three numbers
    inside = u[:, :rank].T @ step @ v[:rank].T
    assert ((torch.linalg.svdvals(inside) > 0.5) & (torch.linalg.svdvals(inside) < 1.4)).all()
    assert torch.linalg.cond(inside) < 2.2


def test_a_learning_rate_set_on_the_groups_is_that_of_every_member(net):
    before = [p.detach().clone() for p in net.parameters()]
    optimizer = Muon(MuonConfig()).build(list(net.named_parameters()))
    assert [group["lr"] for group in optimizer.param_groups] == [2e-4, 2e-4]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(net, optimizer, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_its_state_is_named_after_the_right_parameters_and_resumes_exactly(net):
    names = [name for name, _ in net.named_parameters()]
    optimizer = Muon(MuonConfig(lr=1e-2)).build(list(net.named_parameters()))
    train(net, optimizer, 3)
    flat = checkpoint.optimizer_state(optimizer, names)
    assert {key.partition("|")[0] for key in flat if key.endswith("|momentum_buffer")} == set(HIDDEN)
    assert flat["embedding.weight|exp_avg"].shape == (8, 3)
    other = copy_of(net)
    resumed = Muon(MuonConfig(lr=1e-2)).build(list(other.named_parameters()))
    checkpoint.load_optimizer_state(resumed, names, {key: value.clone() for key, value in flat.items()})
    train(net, optimizer, 3, first=3)
    train(other, resumed, 3, first=3)
    assert same(net, other)
    for group in resumed.param_groups:  # which are still those of the members
        group["lr"] = 0.0
    before = copy_of(other)
    train(other, resumed, 1)
    assert same(other, before)


def test_a_net_of_hidden_matrices_alone_needs_no_adamw():
    blocks = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(4, 4, bias=False)])})
    optimizer = Muon(MuonConfig()).build(list(blocks.named_parameters()))
    assert [type(member) for member in optimizer.members] == [MuonOptimizer]


def test_muon_without_a_matrix_says_what_to_set(net):
    with pytest.raises(
        TrainingError, match=r"Muon has no parameters: .*'layer_.' matches no matrix. Set `optimizer.hid"
    ):
        Muon(MuonConfig(hidden="layer_.")).build(list(net.named_parameters()))


def test_the_suggested_parameter_of_muon_is_a_matrix():
    net = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2))
    with pytest.raises(TrainingError, match=r"to match names such as '1.weight', or use another optimizer\."):
        Muon(MuonConfig()).build(list(net.named_parameters()))
    with pytest.raises(TrainingError, match="none of the trained ones is a matrix. Use another optimizer"):
        Muon(MuonConfig()).build(list(net[0].named_parameters()))


@pytest.mark.parametrize("optimizer", [Muon(MuonConfig()), AdamW(AdamWConfig())])
def test_a_phase_without_trained_parameters_is_refused(net, optimizer):
    net.requires_grad_(False)
    for named in (list(net.named_parameters()), []):
        with pytest.raises(TrainingError, match=rf"nothing to train: .* given: {len(named)}\)\. Unfreeze"):
            optimizer.build(named)


def test_frozen_parameters_are_left_out(net):
    net.head.requires_grad_(False)
    for build in (Muon(MuonConfig()).build, AdamW(AdamWConfig()).build):
        optimizer = build(list(net.named_parameters()))
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


def test_a_broken_expression_is_named_with_its_path():
    with pytest.raises(ConfigError, match=r"optimizer.hidden: '\(' is not a valid regular expression"):
        structure({"hidden": "("}, MuonConfig, "optimizer")


def test_a_stopped_and_resumed_run_with_muon_and_cosine_ends_as_one_that_never_stopped(small, tmp_path):
    small["optimizer"] = {"name": "muon", "lr": 1e-2}
    small["schedule"] = {"name": "cosine", "warmup_steps": 2, "end_step": 6}

    def run(folder, **options):
        return Run(build_pipeline(small), folder, **options)

    run(tmp_path / "whole").train()
    stopped = run(tmp_path / "parts")
    step = stopped._one_step

    def one_step(batch):
        step(batch)
        if stopped.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    stopped._one_step = one_step
    with pytest.raises(Interrupted):
        stopped.train()
    run(tmp_path / "parts", resume=True).train()
    whole, parts = (checkpoint.load(tmp_path / name, 6)[0] for name in ("whole", "parts"))
    assert any(key.endswith("|momentum_buffer") for key in whole["optimizer-student"])
    for part in whole:
        assert all(torch.equal(whole[part][name], parts[part][name]) for name in whole[part])


def test_constant_rises_and_stays():
    assert [Constant(ConstantConfig(warmup_steps=4)).factor(s) for s in (0, 1, 3, 4, 10**6)] == [0.25, 0.5, 1, 1, 1]
    assert Constant(ConstantConfig()).factor(0) == 1


def test_cosine_is_torchs_after_the_warmup():
    config = CosineConfig(warmup_steps=5, end_step=25, final=0.1)
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.1)
    for step in range(5, 26):
        assert Cosine(config).factor(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert [Cosine(config).factor(s) for s in (0, 4)] == pytest.approx([0.2, 1.0])
    assert Cosine(config).factor(10**6) == pytest.approx(0.1)
    assert Cosine(config).factor(15) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)


def test_constant_linear_is_the_published_schedule():
    """2e-4 for 50,000 steps, 2e-5 at a million, linear between."""
    factor = ConstantLinear(ConstantLinearConfig()).factor
    assert [factor(s) for s in (0, 50_000, 525_000, 1_000_000, 2_000_000)] == pytest.approx([1, 1, 0.55, 0.1, 0.1])


@pytest.mark.parametrize("config", [CosineConfig, ConstantLinearConfig])
def test_an_end_before_the_beginning_is_refused(config):
    first = attrs.fields(config)[1].name if config is ConstantLinearConfig else "warmup_steps"
    with pytest.raises(ConfigError, match="schedule.end_step: 10 "):
        structure({first: 20, "end_step": 10}, config, "schedule")


def test_they_are_chosen_by_name(small):
    small.update(optimizer="muon", schedule="constant")
    resolved = resolve(small)
    assert (resolved.slots["optimizer"].name, resolved.slots["schedule"].name) == ("muon", "constant")
