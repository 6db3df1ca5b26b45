"""Parity cases of combinations that were not recorded, made by the second derivation: text with REG and REPA.

One caption is empty, as the null text is: no token of it is seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_dit.config import DDTConfig, LightningDiTConfig
from nanogen_dit.ddt import DDT
from nanogen_dit.lightning_dit import LightningDiT
from nanogen_dit.published import export_published
from nanogen_files.structure import structure
from tests.parity import check_case

from .plain import Inputs, forward

ROWS, LENGTH, WIDTH, Z, BLOCK = 4, 14, 10, 6, 2
LATENT = LatentSpec(3, 8, 8, cls_token_width=Z)
TEXT = ConditionSpec(width=WIDTH, length=LENGTH, normalize=True, padded=True)
TRUNK = {"hidden": 32, "depth": 3, "heads": 2, "patch_size": 2, "time_tokens": 4}
TAIL = {"decoder_hidden": 48, "decoder_depth": 1, "decoder_heads": 3}
REG, REPA, SHIFT, STEPS, SCALE, T_MIN = 0.03, 0.5, 1.7, 6, 2.5, 0.2

Tensors = dict[str, Tensor]


@pytest.mark.parametrize("kind", ["lightning-dit", "ddt"])
def test_the_tool_agrees_with_the_reference(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    weights, given = _weights(kind), _inputs()
    outputs = dict(_outputs(_double(weights), _double(given)))
    tensors = {f"ckpt.{name}": x for name, x in weights.items()} | {f"in.{name}": x for name, x in given.items()}
    save_file(
        tensors | {f"out.{name}": x.detach().float() for name, x in outputs.items()}, tmp_path / "case.safetensors"
    )
    (tmp_path / "case.json").write_text(json.dumps(_configuration()))
    report = check_case(tmp_path / "case.json")
    assert (report.missing, report.waiting) == ((), ())
    assert report.errors.keys() == outputs.keys()
    assert {name: error for name, error in report.errors.items() if not error < 1e-5} == {}


def _configuration() -> dict[str, Any]:
    guidance = {"scale": SCALE, "t_min": T_MIN, "t_max": 1.0}
    return {
        "config": {"input_size": 8, "cond_arch": {"num_c_tokens": LENGTH}, "repa_layer_depth": BLOCK},
        "sampling": {"steps": STEPS, "time_shift": SHIFT, "cfg": guidance, "ig": None},
        "reg_coeff": REG,
        "repa_coeff": REPA,
    }


def _weights(kind: str) -> Tensors:
    """A checkpoint without zero tensors, with REPA's projector."""
    parts: dict[str, Any] = {"latent": LATENT, "condition": TEXT}
    made: Any = LightningDiT(structure(TRUNK, LightningDiTConfig, ""), **parts) if kind == "lightning-dit" else None
    made = made or DDT(structure({**TRUNK, **TAIL}, DDTConfig, ""), **parts)
    for tensor in made.parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    projector = {"repa_projector.weight": torch.randn(Z, 32) * 0.2, "repa_projector.bias": torch.randn(Z)}
    return export_published(made) | projector


def _inputs() -> Tensors:
    t = torch.tensor([0.95, 0.6, 0.3, 0.02])
    clean, noise = torch.randn(2, ROWS, *LATENT.shape)
    cls_clean, cls_noise = torch.randn(2, ROWS, Z)
    return {
        "t": t,
        "x1": clean,
        "noise": noise,
        "x_t": _mix(clean, noise, t),
        "cls_clean": cls_clean,
        "cls_noise": cls_noise,
        "context": torch.randn(ROWS, LENGTH, WIDTH),
        "attn_mask": (torch.arange(LENGTH) < torch.tensor([LENGTH, 5, 0, 1])[:, None]).float(),
        "null_context": torch.randn(ROWS, LENGTH, WIDTH),
        "null_attn_mask": torch.zeros(ROWS, LENGTH),
        "dropped": torch.tensor([1, 0, 0, 1]),
        "repa_target": torch.randn(ROWS, 1 + 16, Z),
    }


def _outputs(w: Tensors, x: Tensors) -> Iterator[tuple[str, Tensor]]:
    """All outputs of a case by name."""
    trained = [w[name].requires_grad_() for name in w if not name.endswith(".W") and "rope." not in name]
    cls_t, null = _mix(x["cls_clean"], x["cls_noise"], x["t"]), (x["null_context"], x["null_attn_mask"].bool())
    own = (x["context"], x["attn_mask"].bool())
    output = forward(w, Inputs(x["x_t"], x["t"], *own, cls=cls_t))
    tokens = output.blocks[BLOCK - 1] @ w["repa_projector.weight"].T + w["repa_projector.bias"]
    yield "model", output.model
    yield "cls", output.cls
    yield "repa_tokens", tokens
    yield "model_null", forward(w, Inputs(x["x_t"], x["t"], *null, cls=cls_t)).model
    rows = x["dropped"].bool()
    mixed = (torch.where(rows[:, None, None], null[0], own[0]), torch.where(rows[:, None], null[1], own[1]))
    dropped = forward(w, Inputs(x["x_t"], x["t"], *mixed, cls=cls_t)).model
    for prediction in ("velocity", "x"):
        losses = {
            "": _errors(prediction, output.model, x["x_t"], x["x1"], x["t"]),
            "dropped_": _errors(prediction, dropped, x["x_t"], x["x1"], x["t"]),
        }
        for name, values in losses.items():
            yield f"loss_{name}{prediction}", values
            yield f"grad_norm_{name}{prediction}", _norm(values.mean(), trained)
        reg = REG * _errors(prediction, output.cls, cls_t, x["cls_clean"], x["t"]).mean()
        repa = REPA * (tokens - x["repa_target"]).square().mean()
        total = losses[""].mean() + reg + repa
        for name, value in {"reg": reg, "repa": repa, "total": total}.items():
            yield f"loss_{name}_{prediction}", value[None]
        yield f"grad_norm_total_{prediction}", _norm(total, trained)
        yield f"sample_{prediction}", _sample(w, x, prediction, own, None)
        yield f"sample_cfg_{prediction}", _sample(w, x, prediction, own, null)


@torch.no_grad()
def _sample(w: Tensors, x: Tensors, prediction: str, own: Any, null: Any) -> Tensor:
    """Euler on a shifted uniform grid for latent and class token, with guidance if `null` is given."""
    grid = torch.linspace(1, 0, STEPS + 1, dtype=torch.float64)
    grid = SHIFT * grid / (1 + (SHIFT - 1) * grid)
    state = [x["noise"], x["cls_noise"]]

    def velocities(condition: Any, t: Tensor) -> list[Tensor]:
        output = forward(w, Inputs(state[0], t, *condition, cls=state[1]))
        pairs = zip((output.model, output.cls), state, strict=True)
        return [_velocity(prediction, value, here, t) for value, here in pairs]

    for start, end in pairwise(grid):
        t = start.expand(ROWS)
        found = velocities(own, t)
        if null is not None and start >= T_MIN:
            found = [u + SCALE * (c - u) for c, u in zip(found, velocities(null, t), strict=True)]
        state = [here - (start - end) * v for here, v in zip(state, found, strict=True)]
    return state[0]


def _errors(prediction: str, predicted: Tensor, here: Tensor, clean: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of the velocity for each row: [B]."""
    error = _velocity(prediction, predicted, here, t) - _velocity("x", clean, here, t)
    return error.square().flatten(1).mean(dim=1)


def _velocity(prediction: str, predicted: Tensor, here: Tensor, t: Tensor) -> Tensor:
    if prediction == "velocity":
        return predicted
    return (here - predicted) / t.clamp(min=0.05).reshape(-1, *[1] * (here.ndim - 1))


def _norm(loss: Tensor, trained: list[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss, trained, retain_graph=True, allow_unused=True)
    return torch.stack([g.square().sum() for g in gradients if g is not None]).sum().sqrt()[None]


def _mix(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    t = t.reshape(-1, *[1] * (clean.ndim - 1))
    return (1 - t) * clean + t * noise


def _double(tensors: Tensors) -> Tensors:
    return {name: x.double() for name, x in tensors.items()}
