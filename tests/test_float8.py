"""`train.float8`: which layers change, what they compute, and what a run refuses."""

import copy
import sys

import pytest
import torch
from torch import nn

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.errors import ConfigError, Incompatible
from nanogen_train.optim.fused import fused_rows
from nanogen_train.trainer import float8
from nanogen_train.trainer.loop import Run

pytest.importorskip("torchao.float8")  # an extra of nanogen-train
E4M3_MAX = 448.0


@pytest.fixture
def emulated(monkeypatch):
    monkeypatch.setattr(float8, "EMULATED", True)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.product = nn.Linear(32, 48, bias=False)


def test_wide_layers_inside_blocks_change_and_keep_their_parameters(emulated):
    net = nn.Module()
    net.first, net.last = nn.Linear(16, 32), nn.Linear(32, 16)
    net.blocks = nn.ModuleList(Block() for _ in range(2))
    net.blocks[1].odd = nn.Linear(32, 7)
    before = dict(net.named_parameters())
    float8.apply_float8([net], "tensorwise")
    kinds = {name: type(layer).__name__ for name, layer in net.named_modules() if isinstance(layer, nn.Linear)}
    assert kinds == {
        "first": "Linear",
        "last": "Linear",
        "blocks.0.product": "Float8Linear",
        "blocks.1.product": "Float8Linear",
        "blocks.1.odd": "Linear",
    }
    assert {name: id(weight) for name, weight in net.named_parameters()} == {
        name: id(weight) for name, weight in before.items()
    }


def rounded(x):
    """Round to e4m3 with the scale that maps the largest entry to the largest number."""
    scale = E4M3_MAX / x.abs().max().double()
    return (x.double() * scale).float().to(torch.float8_e4m3fn).double() / scale


def test_a_layer_computes_the_product_of_rounded_matrices(emulated):
    torch.manual_seed(0)
    net = nn.Module()
    net.blocks = nn.ModuleList([Block()])
    exact = copy.deepcopy(net.blocks[0].product)
    float8.apply_float8([net], "tensorwise")
    x = torch.randn(64, 32)
    out = net.blocks[0].product(x).double()
    expected = rounded(x) @ rounded(exact.weight.detach()).T
    assert (out - expected).norm() <= 1e-3 * expected.norm()
    assert (out - exact(x)).norm() >= 1e-2 * expected.norm()  # float8 has a mantissa of three bits


def options(**train):
    return {"compile": "none", "log_every": 1, "precision": "bf16", "float8": "tensorwise", **train}


WIDE = {
    "name": "ddt",
    "hidden": 32,
    "depth": 1,
    "heads": 1,
    "decoder_hidden": 32,
    "decoder_depth": 1,
    "decoder_heads": 1,
}


@torch.no_grad()
def moved(net):
    """Add noise to the weights, since the blocks of a fresh network have gates of zero."""
    torch.manual_seed(1)
    for weight in net.parameters():
        weight += 0.1 * torch.randn_like(weight)


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_a_run_trains_near_bf16_and_saves_plain_weights(small, tmp_path, emulated, task):
    losses = {}
    for recipe in ("none", "tensorwise"):
        train = {**small["train"], **options(float8=recipe)}
        pipeline = build_pipeline({**small, "task": task, "backbone": WIDE, "optimizer": "muon", "train": train})
        moved(pipeline.backbone)
        run = Run(pipeline, tmp_path / recipe)
        read = run._prepare(next(pipeline.task.batches("train", 8, seed=0)))
        for _ in range(3):
            run._one_step(read)
        losses[recipe] = [scalars["loss"] for scalars in run.metrics.pending()]
    assert losses["tensorwise"] == pytest.approx(losses["none"], rel=0.02)
    assert losses["tensorwise"] != losses["none"]
    layers = [layer for layer in run.pipeline.backbone.modules() if type(layer).__name__ == "Float8Linear"]
    assert layers
    assert len(fused_rows(run.pipeline.backbone)) > 0
    run.pipeline.save(tmp_path / "saved")
    loaded = Pipeline.load(tmp_path / "saved")
    assert not any(type(layer).__name__ == "Float8Linear" for layer in loaded.backbone.modules())


def refusal(small, folder, **changes):
    with pytest.raises(ConfigError) as caught:
        Run(build_pipeline({**small, **changes}), folder)
    return str(caught.value)


def test_what_cannot_compute_float8_is_refused(small, tmp_path, monkeypatch):
    train = {**small["train"], **options()}
    if not torch.cuda.is_available():
        assert "needs an NVIDIA GPU with float8 units" in refusal(small, tmp_path, train=train)
    monkeypatch.setattr(float8, "EMULATED", True)
    assert "this run would compute in fp32" in refusal(small, tmp_path, train={**train, "precision": "fp32"})
    narrow = {**WIDE, "hidden": 12, "decoder_hidden": 12}
    assert "no linear layer inside a block" in refusal(small, tmp_path, train=train, backbone=narrow)
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    assert refusal(small, tmp_path, train=train, backbone=WIDE) == float8.NEEDS_TORCHAO


@pytest.mark.parametrize("objective", ["meanflow", "improved-meanflow", "scm"])
@pytest.mark.parametrize("derivative", ["exact", "forward"])
def test_derivatives_of_the_network_are_refused_when_it_is_built(small, objective, derivative):
    config = {**small, "objective": {"name": objective, "derivative": derivative}, "train": options()}
    with pytest.raises(Incompatible, match=f"`derivative: {derivative}` .* float8"):
        build_pipeline(config)


def test_meanflow_with_finite_differences_trains(small, tmp_path, emulated):
    train = {**small["train"], **options()}
    objective = {"name": "meanflow", "derivative": "central"}
    pipeline = build_pipeline({**small, "objective": objective, "backbone": WIDE, "train": train})
    run = Run(pipeline, tmp_path)
    read = run._prepare(next(pipeline.task.batches("train", 8, seed=0)))
    run._one_step(read)
    (scalars,) = run.metrics.pending()
    assert 0 < scalars["loss"] < 100
