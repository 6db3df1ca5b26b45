"""What spares memory or time and must not change a number: accumulation, recomputed activations, one call for all."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nanogen_core import build_pipeline
from nanogen_core.errors import ConfigError, TrainingError
from nanogen_core.tensors import Batch
from nanogen_train.checkpoint import checkpoint
from nanogen_train.distributed.blocks import apply_activation_checkpointing, blocks_of, compile_blocks
from nanogen_train.ema.ema import EMA
from nanogen_train.logging import metrics_log
from nanogen_train.optim.optimization import Optimization
from nanogen_train.optim.optimizers import AdamW
from nanogen_train.optim.schedules import Constant
from nanogen_train.optim.settings import AdamWConfig, ConstantConfig
from nanogen_train.settings import TrainConfig
from nanogen_train.trainer.loop import Run
from nanogen_train.trainer.step import means, micro_batches


def trained(config: dict[str, Any], folder: Path, **train: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    run = Run(build_pipeline({**config, "train": {**config["train"], "log_every": 1, **train}}), folder)
    run.train()
    return [entry["loss"] for entry in metrics_log.read(folder)], checkpoint.load(folder, run.step)[0]["nets"]


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_accumulated_parts_make_the_step_of_the_whole_batch(small: dict[str, Any], tmp_path: Path, parts: int) -> None:
    losses, nets = trained(small, tmp_path / "whole")
    accumulated, again = trained(small, tmp_path / "parts", grad_accum_steps=parts)
    assert accumulated == pytest.approx(losses, abs=1e-6)
    for name, tensor in nets.items():
        torch.testing.assert_close(again[name], tensor, rtol=1e-4, atol=1e-5)


def test_parts_have_the_slots_of_their_place_in_the_global_batch() -> None:
    batch = Batch(torch.arange(30, 36))
    parts = list(micro_batches(batch, range(6, 12), 3))
    assert [part.indices.tolist() for part, _ in parts] == [[30, 31], [32, 33], [34, 35]]
    assert [list(slots) for _, slots in parts] == [[6, 7], [8, 9], [10, 11]]


def test_parts_that_would_be_unequal_are_refused(small: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"train.grad_accum_steps: 3 does not divide batch_size 8"):
        build_pipeline({**small, "train": {**small["train"], "grad_accum_steps": 3}})
    with pytest.raises(TrainingError, match="4 examples per step, which cannot be split into 3 equal micro-batches"):
        list(micro_batches(Batch(torch.arange(4)), range(4), 3))


def test_scalars_of_parts_are_averaged() -> None:
    assert means([{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(4.0)}]) == {"loss": torch.tensor(2.5)}


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Module()
        self.trunk.layers = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.trunk.layers:
            x = layer(x)
        return x


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(4, 4)])
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.parts[0](x).tanh()


def test_blocks_are_the_outermost_lists_members() -> None:
    net = Blocks()
    assert blocks_of(net) == list(net.trunk.layers)


class Stages(nn.Module):
    """Two stages of two blocks each, in a list of lists, and a dict of blocks in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.ModuleList([Block(), Block()]) for _ in range(2))
        self.heads = nn.ModuleList([nn.ModuleDict({"image": Block()})])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            for block in stage:
                x = block(x)
        return self.heads[0]["image"](x)


def test_members_of_nested_lists_are_blocks_and_each_is_recomputed() -> None:
    torch.manual_seed(0)
    net, x = Stages(), torch.randn(2, 4)
    first, second = net.stages
    blocks = [first[0], first[1], second[0], second[1], net.heads[0]["image"]]
    assert blocks_of(net) == blocks
    (plain,) = torch.autograd.grad(net(x).square().sum(), [first[0].parts[0].weight])
    apply_activation_checkpointing(net)
    (again,) = torch.autograd.grad(net(x).square().sum(), [first[0].parts[0].weight])
    assert torch.equal(plain, again)
    assert [block.calls for block in blocks] == [1 + 2] * 5


def test_activations_are_computed_twice_and_gradients_are_the_same_numbers() -> None:
    torch.manual_seed(0)
    net, x = Blocks(), torch.randn(2, 4)
    (plain,) = torch.autograd.grad(net(x).square().sum(), [net.trunk.layers[0].parts[0].weight])
    apply_activation_checkpointing(net)
    (again,) = torch.autograd.grad(net(x).square().sum(), [net.trunk.layers[0].parts[0].weight])
    assert torch.equal(plain, again)
    assert [block.calls for block in net.trunk.layers] == [1 + 2] * 3


class Dropping(Block):
    """A block that drops values by a module, and by a function inside its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(super().forward(nn.functional.dropout(x, 0.2, training=self.training)))


def test_a_recomputed_block_drops_the_same_values_again() -> None:
    torch.manual_seed(0)
    net, x = Blocks(), torch.randn(8, 4)
    net.trunk.layers = nn.ModuleList(Dropping() for _ in range(3))
    found = []
    for recomputed in (False, True):
        if recomputed:
            apply_activation_checkpointing(net)
        torch.manual_seed(1)
        found.append([*torch.autograd.grad(net(x).square().sum(), [*net.parameters()]), torch.rand(1)])
    assert all(map(torch.equal, *found))  # the random numbers after the step too


def test_every_second_block_is_recomputed() -> None:
    net, x = Blocks(), torch.randn(2, 4)
    apply_activation_checkpointing(net, 2)
    net(x).square().sum().backward()
    assert [block.calls for block in net.trunk.layers] == [1, 2, 1]


@pytest.mark.parametrize(("value", "every"), [("none", 0), ("all", 1), ("every_1", 1), ("every_12", 12)])
def test_the_option_names_the_recomputed_blocks(value: str, every: int) -> None:
    assert TrainConfig(activation_checkpointing=value).recomputed_every == every


@pytest.mark.parametrize("value", ["every_0", "every_", "2", "every_n", "every_2 ", "some"])
def test_other_choices_of_blocks_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match='must be "none", "all" or "every_N" such as "every_2"'):
        TrainConfig(activation_checkpointing=value)


@pytest.mark.parametrize("method", ["flow", "meanflow"])
def test_recomputed_activations_change_no_number_of_a_training(
    small: dict[str, Any], tmp_path: Path, method: str
) -> None:
    del small["objective"], small["sampler"]
    small.update({"objective": "flow"} if method == "flow" else {"method": "meanflow"})
    losses, nets = trained(small, tmp_path / "kept")
    again, others = trained(small, tmp_path / "recomputed", activation_checkpointing="all")
    assert losses == again
    assert all(torch.equal(tensor, others[name]) for name, tensor in nets.items())


def test_compilation_is_asked_for_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    net, plain = Blocks(), nn.Linear(2, 2)
    compile_blocks(net)
    compile_blocks(plain)
    assert compiled == [*net.trunk.layers, plain]


def test_the_average_in_one_call_is_the_loop_over_parameters_to_the_last_bit() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(37, 11), nn.BatchNorm1d(11), nn.Linear(11, 300, bias=False))
    average, plain = EMA(net), deepcopy(net)
    for _ in range(20):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
            net[1].running_mean.add_(1)
            for mine, theirs in zip(plain.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, 1 - 0.9995)
        average.update(0.9995)
    for mine, theirs in zip(average.net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(average.net[1].running_mean, net[1].running_mean)


class OneNet:
    phase_names = ("student",)

    def __init__(self, net: nn.Module):
        self.net = net
        self.nets = nn.ModuleDict({"student": net})

    def parameters_of(self, phase: str) -> list[tuple[str, nn.Parameter]]:
        return list(self.net.named_parameters())


def test_a_scaled_loss_moves_the_weights_as_a_plain_one_and_an_overflow_does_not() -> None:
    """The scaler is torch's; 2^10 is a power of two, so that scaling back is exact."""
    torch.manual_seed(0)
    start, x = nn.Linear(3, 2), torch.randn(5, 3)
    weights = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=1024.0)):
        net = nn.Linear(3, 2)
        net.load_state_dict(start.state_dict())
        steps = Optimization(OneNet(net), AdamW(AdamWConfig(lr=0.1)), Constant(ConstantConfig()), 0.5, scaler)
        for step in range(3):
            loss = net(x).square().sum()
            (loss if scaler is None else scaler.scale(loss)).backward()
            norm = steps.update("student", step)["grad_norm"]
            steps.end_step()
        weights.append((net.weight.detach().clone(), norm))
    assert torch.equal(weights[0][0], weights[1][0])
    assert torch.equal(weights[0][1], weights[1][1])
    before = net.weight.detach().clone()
    scaler.scale(net(x).sum() * torch.inf).backward()
    assert steps.update("student", 3)["grad_norm"] == 0
    steps.end_step()
    assert torch.equal(net.weight, before)
    assert steps.facts()["scaler"]["scale"] == 512.0
