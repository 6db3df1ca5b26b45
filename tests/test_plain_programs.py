"""The plain programs of the GPU benchmark have the size, the outputs, the losses and the gradients of ours."""

from typing import NamedTuple

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.gpu.models import CLASSES, MODELS, SMALL, batch_of, run_of
from benchmarks.gpu.plain import SD_VAE, plain_loop, plain_network
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_dit import DDT, LightningDiT
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.published import export_published
from nanogen_meanflow.config import MeanFlowConfig
from nanogen_meanflow.meanflow import MeanFlow

LATENT = LatentSpec(4, 32, 32, factor=8)
LABEL = ConditionSpec(width=CLASSES + 1, length=1, learned=8)
TEXT = ConditionSpec(width=1024, length=256, normalize=True, padded=True)
COMPARED = [model for model in MODELS if model.plain]
ENCODER = {"hidden": 32, "depth": 2, "heads": 2}
SIZES = {"lightning-dit": ENCODER, "ddt": {**ENCODER, "decoder_hidden": 48, "decoder_depth": 1, "decoder_heads": 3}}
TINY = {
    model.name: evolve(
        model, backbone={"name": model.backbone["name"], **SIZES[model.backbone["name"]]}, batch_size=2, changes={}
    )
    for model in COMPARED
}
KINDS = ["DDT-XL", "DDT-XL, text of 20 to 256 tokens", "LightningDiT-B", "MeanFlow, LightningDiT-B"]


def our_network(model):
    name, options = model.backbone["name"], {k: v for k, v in model.backbone.items() if k != "name"}
    network, config = {"ddt": (DDT, DDTConfig), "lightning-dit": (LightningDiT, LightningDiTConfig)}[name]
    wanted = {"two-time", "jvp"} if model.method == "meanflow" else ()
    parts = {"latent": LATENT, "condition": TEXT if model.captions else LABEL}
    return network(config(**options), **parts, wanted=frozenset(wanted))


class Sides(NamedTuple):
    """Both programs with the same weights."""

    ours: nn.Module
    loop: object


def sides(kind, **options):
    ours = our_network(TINY[kind])
    torch.manual_seed(0)
    for parameter in ours.parameters():
        if parameter.ndim > 1:  # the output layers begin at zero; norms stay 1
            nn.init.normal_(parameter, std=0.1)
    loop = plain_loop(TINY[kind], "cpu", **{"bf16": False, "compiled": False, **options})
    loop.net.load_state_dict(export_published(ours, tables=False))
    return Sides(ours, loop)


def norm(loss, net):
    return torch.stack([g.norm() for g in torch.autograd.grad(loss, list(net.parameters()))]).norm()


def tokens_of(given):
    """Our condition: one-hot labels, or captions without the padding that all of them have."""
    if isinstance(given, Tensor):
        return Condition(one_hot(given, CLASSES + 1).float()[:, None])
    longest = int(given.mask.sum(dim=1).max())
    return Condition(given.states[:, :longest], given.mask[:, :longest])


@pytest.mark.parametrize("model", COMPARED, ids=lambda model: model.name)
def test_a_plain_network_has_as_many_parameters_as_ours(model):
    with torch.device("meta"):
        plain, ours = plain_network(model), our_network(model)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in ours.parameters()) > 8e7


def test_their_latents_are_those_of_our_runs():
    run = run_of(SMALL[0], compiled=False, precision="fp32")
    plain = plain_loop(SMALL[0], "cpu", bf16=False, compiled=False)
    assert plain.latents.shape == batch_of(SMALL[0], run).latents.shape
    assert run.pipeline.backbone.geometry.patch == SD_VAE["patch"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_network_has_the_outputs_of_ours(kind):
    ours, loop = sides(kind)
    x, t, r = torch.randn_like(loop.latents), torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.1])
    given = loop.net.ctx_embedder.dropped(loop.condition, torch.tensor([False, True]))
    theirs = loop.net(x, t, given, r)
    mine = ours(State(x), Times(t, r), tokens_of(given)).value.latent
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    assert theirs.shape == x.shape
    assert theirs.std() > 0.01  # the comparison would hold for zeros too


def test_the_plain_meanflow_loss_and_its_gradient_are_those_of_ours():
    ours, loop = sides("MeanFlow, LightningDiT-B")
    t, r, dropped = torch.tensor([0.9, 0.6]), torch.tensor([0.5, 0.1]), torch.tensor([False, True])
    noise = torch.randn_like(loop.latents)
    objective = MeanFlow(MeanFlowConfig(), latent=LATENT)
    own = tokens_of(loop.net.ctx_embedder.dropped(loop.condition, dropped))._replace(null=dropped)
    null = tokens_of(torch.full((2,), CLASSES))
    inputs = objective.make_inputs(ours, State(loop.latents), State(noise), Times(t, r), own, null)
    output = objective.evaluate(inputs, True)
    # the weighted loss of a sample is near 1 for every error, so the errors and the gradients are compared
    mine, theirs = objective.weighted(output.error).mean(), loop.mean_flow_loss(noise, t, r, dropped)
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=0)
    torch.testing.assert_close(norm(mine, ours), norm(theirs, loop.net), rtol=1e-3, atol=0)
    condition = loop.net.ctx_embedder.dropped(loop.condition, dropped)
    du_dt = loop.jvp(inputs.state.latent, t, r, condition, output.target)[1]
    torch.testing.assert_close(output.du_dt, du_dt, rtol=1e-3, atol=1e-3)
    assert du_dt.std() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_loop_in_bf16_trains_every_parameter(kind):
    torch.manual_seed(0)
    loop = plain_loop(TINY[kind], "cpu", bf16=True, compiled=False)
    before = [parameter.clone() for parameter in loop.net.parameters()]
    averages = [parameter.clone() for parameter in loop.ema.parameters()]
    loop()
    assert not any(a.equal(b) for a, b in zip(before, loop.net.parameters(), strict=True))
    assert not all(a.equal(b) for a, b in zip(averages, loop.ema.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_the_velocity_falls(kind):
    loop = plain_loop(TINY[kind], "cpu", bf16=False, compiled=False)
    loop.optimizer.param_groups[0]["lr"] = 3e-3
    noise, t = torch.randn_like(loop.latents), torch.tensor([0.8, 0.3])
    x, target = loop.noised(noise, t)

    @torch.no_grad()
    def error():
        return float((loop.net(x, t, loop.condition, t) - target).square().mean())

    before = error()
    for _ in range(30):
        loop()
    assert error() < 0.95 * before


@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_plain_loop_has_no_graph_break_and_the_same_loss(kind, monkeypatch):
    compiler, programs = torch.compile, []

    def compile_whole(function, **options):
        programs.append(function)
        return compiler(function, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", compile_whole)
    torch._dynamo.reset()
    losses = []
    for compiled in (False, True):
        torch.manual_seed(0)
        loop = plain_loop(TINY[kind], "cpu", bf16=False, compiled=compiled)
        losses.append(loop.random_loss(torch.randn_like(loop.latents), torch.tensor([False, True])))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=0)
    assert len(programs) == (1 if "MeanFlow" in kind else len(loop.net.blocks))
