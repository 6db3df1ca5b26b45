"""Imported checkpoints of every variant, text and label, against the reference implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published import export_published, read_published
from nanogen_files.structure import structure

from .plain import Inputs, forward
from .recorded import CASES

LABEL = ConditionSpec(width=7, length=1, learned=5)
TEXT = ConditionSpec(width=10, length=6, normalize=True, padded=True)
TRUNK = {"hidden": 32, "depth": 3, "heads": 2, "patch_size": 2, "time_tokens": 3}
TAIL = {"decoder_hidden": 48, "decoder_depth": 2, "decoder_heads": 3}
NETWORKS = {"lightning-dit": (LightningDiT, LightningDiTConfig, {}), "ddt": (DDT, DDTConfig, TAIL)}
VARIANTS = [
    (name, condition, words)
    for name in NETWORKS
    for condition in ("label", "text")
    for words in ([], ["two-time"], ["cls-token"], ["internal-head"], ["two-time", "internal-head"])
]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_reference_reproduces_the_recordings(path: Path) -> None:
    """The reference implementation against the published fixtures."""
    config, tensors = json.loads(path.read_text()), load_file(path.with_suffix(".safetensors"))
    weights = {name.removeprefix("ckpt."): x for name, x in tensors.items() if name.startswith("ckpt.")}
    given = {name.removeprefix("in."): x for name, x in tensors.items() if name.startswith("in.")}
    mask = given["attn_mask"].bool() if "attn_mask" in given else None
    cls = None
    if "cls_clean" in given:
        t = given["t"][:, None]
        cls = (1 - t) * given["cls_clean"] + t * given["cls_noise"]
    inputs = Inputs(given["x_t"], given["t"], given["context"], mask, given.get("r"), cls)
    found = forward(weights, inputs, config["config"].get("base_model_depth", 0))
    recorded = tensors.get("out.model", tensors.get("out.u"))
    torch.testing.assert_close(found.model, recorded, rtol=1e-4, atol=1e-5)
    for name, value in {"out.cls": found.cls, "out.base": found.base}.items():
        if name in tensors:
            torch.testing.assert_close(value, tensors[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "condition_type", "words"), VARIANTS)
def test_an_imported_checkpoint_agrees_with_the_reference(
    tmp_path: Path, name: str, condition_type: str, words: list[str]
) -> None:
    weights, network, depth = _published(tmp_path, name, condition_type, words)
    inputs = _inputs(condition_type, words)
    expected = forward(weights, inputs, depth)
    found = network(*_ours(inputs))
    torch.testing.assert_close(found.value.latent, expected.model, rtol=1e-4, atol=1e-5)
    if "cls-token" in words:
        torch.testing.assert_close(found.value.cls_token, expected.cls, rtol=1e-4, atol=1e-5)
    if "internal-head" in words:
        torch.testing.assert_close(found.heads["internal"].latent, expected.base, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("condition_type", ["label", "text"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_of_meanflow_is_that_of_its_equations(tmp_path: Path, name: str, condition_type: str) -> None:
    """Guided velocity, du/dt and adaptive loss, with forward-mode derivatives of the reference implementation."""
    config = pytest.importorskip("nanogen_meanflow.config").MeanFlowConfig
    objective_class = pytest.importorskip("nanogen_meanflow.meanflow").MeanFlow
    weights, network, _ = _published(tmp_path, name, condition_type, ["two-time"])
    weights, network = {key: x.double() for key, x in weights.items()}, network.double()
    inputs = _inputs(condition_type, ["two-time"], torch.float64)
    clean, noise = torch.randn(2, 3, 4, 8, 8, dtype=torch.float64)
    z = _mix(clean, noise, inputs.t)
    omega, kappa = 1.3, 0.4
    null = _null(inputs)
    v = (z - clean) / inputs.t.clamp(min=0.05).reshape(-1, 1, 1, 1)
    velocities = [forward(weights, q._replace(x=z, r=q.t)).model for q in (null, inputs)]
    guided = (omega * v + (1 - omega - kappa) * velocities[0] + kappa * velocities[1]).detach()
    run = lambda x, t, r: forward(weights, inputs._replace(x=x, t=t, r=r)).model  # noqa: E731
    primals, tangents = (z, inputs.t, inputs.r), (guided, torch.ones(3).double(), torch.zeros(3).double())
    u, du_dt = torch.func.jvp(run, primals, tangents)
    compound = u + (inputs.t - inputs.r).reshape(-1, 1, 1, 1) * du_dt
    raw = (compound - guided).square().sum(dim=(1, 2, 3))
    objective = objective_class(config(omega=omega, kappa=kappa), latent=LatentSpec(4, 8, 8))
    _, times, condition = _ours(inputs)
    step_inputs = objective.make_inputs(network, State(clean), State(noise), times, condition, _ours(null)[2])
    output = objective.evaluate(step_inputs, has_interval=True)
    torch.testing.assert_close(output.target, guided, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.du_dt, du_dt, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.error, raw, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(objective.weighted(output.error), raw / (raw + 0.01), rtol=1e-5, atol=1e-6)


def _published(folder: Path, name: str, condition_type: str, words: list[str]) -> tuple[dict[str, Tensor], Any, int]:
    """A checkpoint file without zero tensors, and the network imported from it."""
    made, config, more = NETWORKS[name]
    depth = 2 if "internal-head" in words else 0
    options = {**TRUNK, **more, **({"internal_head_depth": depth} if depth else {})}
    latent = LatentSpec(4, 8, 8, cls_token_width=5 if "cls-token" in words else 0)
    condition = LABEL if condition_type == "label" else TEXT
    network = made(structure(options, config, ""), latent=latent, condition=condition, wanted=frozenset(words))
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    weights = export_published(network)
    save_file(weights, folder / "checkpoint.safetensors")
    beside = {"base_model_depth": depth, "input_size": 8, "cond_arch": {"num_c_tokens": condition.length}}
    del network
    return weights, read_published(folder / "checkpoint.safetensors", beside).build(frozenset({"jvp"})), depth


def _inputs(condition_type: str, words: list[str], dtype: torch.dtype = torch.float32) -> Inputs:
    t = torch.tensor([0.9, 0.5, 0.2], dtype=dtype)
    context, mask = torch.tensor([0, 3, 6]), None
    if condition_type == "text":
        context, mask = torch.randn(3, 6, 10, dtype=dtype), torch.arange(6) < torch.tensor([6, 4, 0])[:, None]
    r = t * torch.tensor([0.0, 0.4, 1.0], dtype=dtype) if "two-time" in words else None
    cls = torch.randn(3, 5, dtype=dtype) if "cls-token" in words else None
    return Inputs(torch.randn(3, 4, 8, 8, dtype=dtype), t, context, mask, r, cls)


def _null(inputs: Inputs) -> Inputs:
    """The null class, or the empty text, whose tokens are all masked."""
    if inputs.mask is None:
        return inputs._replace(context=torch.full((3,), 6))
    return inputs._replace(context=torch.ones_like(inputs.context), mask=torch.zeros(3, 6, dtype=torch.bool))


def _ours(inputs: Inputs) -> tuple[State, Times, Condition]:
    context = inputs.context
    if context.ndim == 1:
        context = F.one_hot(context, LABEL.width).to(inputs.x.dtype)[:, None]
    times = Times(inputs.t, inputs.t if inputs.r is None else inputs.r)
    return State(inputs.x, inputs.cls), times, Condition(context, inputs.mask)


def _mix(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    t = t.reshape(-1, 1, 1, 1)
    return (1 - t) * clean + t * noise
