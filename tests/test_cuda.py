"""What only a CUDA device can show; benchmarks/gpu.sh runs it. The script itself is tried on a CPU.

benchmarks/gpu.sh stops these tests after two minutes, so the most important ones come first.
"""

import json
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from attrs import evolve
from click.testing import CliRunner

from benchmarks.gpu import attention
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.models import SMALL, Model, batch_of, run_of
from nanogen_core.tensors import State, Times
from nanogen_dit.attention import differentiable, flex
from nanogen_dit.fused_attention import plain_attention
from nanogen_files.tf32 import tf32
from nanogen_train.trainer.float8 import CAPABILITY

ROOT = os.path.dirname(os.path.dirname(__file__))
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TINY = SMALL[0]


def draw_weights(net):  # tests/weights.py is not in the bundle
    torch.manual_seed(0)
    for parameter in net.parameters():  # the output layers begin at zero
        torch.nn.init.normal_(parameter, std=0.2)


def losses(run, count=3):
    draw_weights(run.pipeline.backbone)
    given = batch_of(TINY, run)
    for _ in range(count):
        run._one_step(given)
    return [scalars["loss"] for scalars in run.metrics.pending()]


@cuda
@pytest.mark.parametrize("model", SMALL, ids=lambda model: model.name)
def test_a_step_does_not_wait_for_the_gpu(model):
    """test_hidden_waits.py finds the operators that wait on a CPU; here CUDA itself reports them."""
    run = run_of(model, compiled=False, precision="bf16")
    given = batch_of(model, run)
    for _ in range(2):  # the first step counts FLOPs, and kernels are loaded
        run._one_step(given)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run._one_step(given)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert run.step == 3


@cuda
@pytest.mark.parametrize("masked", [False, True])
def test_fused_attention_has_the_derivatives_of_tensor_operations(masked):
    inputs = [tensor.cuda().requires_grad_() for tensor in torch.randn(3, 2, 4, 37, 64).unbind(0)]
    tangents = tuple(tensor.cuda() for tensor in torch.randn(3, 2, 4, 37, 64).unbind(0))
    lengths = torch.tensor([[37], [20]], device="cuda")
    mask = (torch.arange(37, device="cuda") < lengths)[:, None, None] if masked else None

    def derivatives(kernel):
        first = torch.autograd.grad(kernel(*inputs, mask).square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((x * t).sum() for x, t in zip(first, tangents, strict=True)), inputs)
        forward = torch.func.jvp(lambda *x: kernel(*x, mask), tuple(inputs), tangents)[1]
        return [*first, *second, forward]

    with tf32(False):  # a run turns it on, and its errors are above the tolerance
        found, expected = derivatives(differentiable), derivatives(plain_attention)
    for mine, theirs in zip(found, expected, strict=True):
        assert float((mine - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


@cuda
def test_autocast_is_bf16_and_the_weights_stay_float32():
    run = run_of(TINY, compiled=False, precision="bf16")
    seen = []
    run.pipeline.backbone.encoder.blocks[0].mlp.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    assert all(torch.isfinite(torch.tensor(losses(run))))
    assert seen[0] == torch.bfloat16
    assert {p.dtype for p in run.pipeline.backbone.parameters()} == {torch.float32}


@cuda
def test_adamw_is_fused():
    run = run_of(TINY, compiled=False, precision="bf16")
    assert all(group["fused"] for group in run.optimization.optimizers["student"].param_groups)


@cuda
def test_flash_attention_is_chosen_where_nothing_is_padded():
    run = run_of(TINY, compiled=False, precision="bf16")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        losses(run, 1)
    names = " ".join(event.key for event in profile.key_averages())
    assert "flash" in names.lower()


@cuda
def test_a_compiled_step_has_the_loss_of_an_eager_one():
    runs = [run_of(TINY, compiled=word, precision="fp32") for word in (False, True)]
    with tf32(False):  # a run turns it on
        eager, compiled = (losses(run) for run in runs)
    assert compiled == pytest.approx(eager, rel=1e-4)


@cuda
def test_fsdp2_runs_on_one_device(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "{task: imagenet, method: vae, dataset: {name: openmoji, train: 32, val: 8}, tokenizer: openmoji-vae,"
        " backbone: {name: lightning-dit, size: tiny}, train: {steps: 3, batch_size: 8, strategy: fsdp,"
        " sample_every: 0, sample_count: 2}}"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    command += ["-m", "nanogen_core", "train", str(config), "--output", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


@cuda
def test_sampling_on_the_device_gives_the_picture_of_the_cpu():
    run = run_of(TINY, compiled=False, precision="fp32")
    net = run.pipeline.backbone
    x, device = torch.randn(2, *run.pipeline.latent.shape), run.engine.device
    given = batch_of(Model(name="", backbone={}, batch_size=2), run)
    condition = run.pipeline.conditioner.encode(given)
    draw_weights(net)
    times = Times(torch.full((2,), 0.5), torch.full((2,), 0.5))
    with torch.no_grad(), tf32(False):  # a run turns it on
        there = net(State(x.to(device)), times.map(lambda x: x.to(device)), condition).value.latent.cpu()
        here = net.cpu()(State(x), times, condition.map(lambda x: x.cpu())).value.latent
    assert F.mse_loss(there, here) < 1e-8 * here.square().mean()


def test_the_script_of_figures_runs_in_a_small_setting(tmp_path, monkeypatch):
    encoder = {"hidden": 16, "depth": 1, "heads": 1}
    sizes = {"lightning-dit": encoder, "ddt": {**encoder, **{f"decoder_{name}": n for name, n in encoder.items()}}}
    kinds = [model.backbone["name"] for model in SMALL]
    backbones = [{"name": kind, **sizes[kind]} for kind in kinds]
    smaller = [evolve(model, backbone=one, batch_size=2) for model, one in zip(SMALL, backbones, strict=True)]
    monkeypatch.setattr("benchmarks.gpu.__main__.SMALL", smaller)
    file = tmp_path / "results.json"
    CliRunner().invoke(main, ["--small", "--steps", "1", "--output", str(file)], catch_exceptions=False)
    result = json.loads(file.read_text())
    rows, kernels = result["rows"][:6], result["rows"][6:]
    assert [row["side"] for row in rows] == ["ours, eager", "plain loop, eager"] * 3
    assert all(row["images_per_second"] > 0 for row in rows)
    assert [row["model"] for row in rows[::2]] == [row["model"] for row in rows[1::2]] == [m.name for m in SMALL]
    assert rows[2]["flops_per_step"] > 2 * rows[0]["flops_per_step"]  # it computes du/dt
    assert [goal["against"] for goal in result["goals"]] == ["plain loop"] * 3
    assert [row["attention"] for row in kernels] == ["no mask", "mask", "mask, tensor operations"]
    assert kernels[1]["difference"] < 0.02  # bf16
    assert all(row["ms"] > 0 for row in kernels)


@cuda
def test_float8_trains_near_bf16():
    pytest.importorskip("torchao.float8")  # an extra of nanogen-train
    if torch.cuda.get_device_capability() < CAPABILITY:
        pytest.skip("this device has no float8 units")
    recipes = ("none", "tensorwise")
    runs = (
        run_of(evolve(TINY, changes={"train": {"float8": recipe}}), compiled=False, precision="bf16")
        for recipe in recipes
    )
    plain, float8 = (losses(run) for run in runs)
    assert float8 == pytest.approx(plain, rel=0.01)


@cuda
def test_flex_attention_has_the_gradients_of_tensor_operations():
    """On two blocks of keys, of which a short row needs one, at the width of a head of DDT-XL."""
    inputs = [tensor.cuda().requires_grad_() for tensor in torch.randn(3, 2, 4, 150, 72).unbind(0)]
    weight = torch.randn(2, 4, 150, 72, device="cuda")
    mask = (torch.arange(150, device="cuda") < torch.tensor([[150], [20]], device="cuda"))[:, None, None]

    def outputs(kernel):
        out = kernel(*inputs, mask)
        return [out, *torch.autograd.grad((out * weight).sum(), inputs)]

    with tf32(False):
        found, expected = outputs(flex), outputs(plain_attention)
    for mine, theirs in zip(found, expected, strict=True):
        assert float((mine - theirs).abs().max()) <= 1e-3 * float(theirs.abs().max())


@cuda
@pytest.mark.parametrize("name", ["mask", "mask, FlexAttention", "packed keys, varlen_attn"])
def test_kernels_for_padded_captions_agree(name):
    shape = attention.Shape(batch=4, heads=2, image=64, longest=64)
    row = {row["attention"]: row for row in attention.rows(shape, "cuda", lambda work, times: 1.0)}[name]
    assert "error" not in row, row["error"]
    assert row["difference"] < 0.02


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_is_one_sentence():
    result = CliRunner().invoke(main, [])
    assert "There is no CUDA device" in str(result.exception)
