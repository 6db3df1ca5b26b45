"""The equivalence benchmark's training against a plain loop (AdamW, clipping, dropout, EMA) on the reference networks.

Both use the same rows, times, noise and initial weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.equivalence.curve import Curve, read
from benchmarks.equivalence.training import pipeline_of, train
from nanogen_core.randomness import KeyedRNG, key
from nanogen_dit.published import export_published

from .plain import Inputs, forward

CLASSES, BATCH, SEED = 5, 6, 3
TRUNKS: dict[str, dict[str, Any]] = {
    "lightningdit": {"hidden": 32, "depth": 2, "heads": 2},
    "ddt": {"hidden": [32, 48], "depth": [1, 2], "heads": [2, 3]},
}
REST = {"patch": 2, "channels": 3, "side": 4, "classes": CLASSES, "t_tokens": 2, "c_tokens": 3}
TRAINING = {
    "steps": 4, "batch": BATCH, "optimizer": "AdamW", "lr": 1e-2, "betas": [0.8, 0.9], "eps": 1e-6, "weight_decay": 0.1,
    "clip": 0.5, "ema": 0.75, "label_dropout": 0.3, "time": "logit-normal -0.8 1.5, shift 2.5", "t_eps": 0.1,
}  # fmt: skip
Weights = dict[str, Tensor]


@pytest.mark.parametrize("prediction", ["velocity", "x"])
@pytest.mark.parametrize("kind", TRUNKS)
def test_the_benchmark_trains_as_a_plain_loop_does(tmp_path: Path, kind: str, prediction: str) -> None:
    curve = _curve(tmp_path, kind, prediction)
    ours, expected = train(curve, SEED), _plain(curve, prediction)
    assert ours["student"] == pytest.approx(expected["student"], rel=2e-5)
    assert ours["average"] == pytest.approx(expected["average"], rel=2e-5)
    assert abs(expected["student"][1] / expected["student"][0] - 1) > 0.02  # something was learnt


def _curve(folder: Path, kind: str, prediction: str) -> Curve:
    torch.manual_seed(0)
    moments = {"mean": [1.0, 1.0], "sd": [1.0, 1.0]}
    network = {"kind": kind, **TRUNKS[kind], **REST}
    recorded = {"network": network, "training": {**TRAINING, "prediction": prediction}, "steps": [1, 4], "seeds": 6}
    (folder / "training_curve.json").write_text(json.dumps({**recorded, "student": moments, "average": moments}))
    tensors = {"latents": torch.randn(20, 3, 4, 4) + 1, "labels": torch.randint(CLASSES, (20,)), "val.t": torch.rand(8)}
    tensors |= {"val.latents": torch.randn(8, 3, 4, 4) + 1, "val.noise": torch.randn(8, 3, 4, 4)}
    save_file({**tensors, "val.labels": torch.randint(CLASSES, (8,))}, folder / "training_curve.safetensors")
    return read(folder / "training_curve.json")


def _plain(curve: Curve, prediction: str) -> dict[str, list[float]]:
    start: Any = pipeline_of(curve, SEED).backbone
    weights = {name: x.detach().clone() for name, x in export_published(start).items()}
    trained = {n: x.requires_grad_() for n, x in weights.items() if not n.endswith(".W") and "rope." not in n}
    average = {name: x.detach().clone() for name, x in weights.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1)
    data, found = curve.tensors, {"student": [], "average": []}
    for step in range(4):
        rows = torch.randint(20, (BATCH,), generator=torch.Generator().manual_seed(key(SEED, "rows", step)))
        draws = KeyedRNG(SEED, range(BATCH), step=step)
        t = torch.sigmoid(-0.8 + 1.5 * draws.normal("time", ()))
        t = 2.5 * t / (1 + 1.5 * t)
        labels = torch.where(draws.uniform("condition.dropout") < 0.3, CLASSES, data["labels"][rows])
        loss = _loss(weights, prediction, data["latents"][rows], draws.normal("noise", (3, 4, 4)), t, labels)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.stack([x.grad.square().sum() for x in trained.values() if x.grad is not None]).sum().sqrt()
        for x in trained.values():
            x.grad = None if x.grad is None else x.grad * min(1.0, 0.5 / float(norm))
        optimizer.step()
        for name, x in average.items():
            x.copy_(0.75 * x + 0.25 * weights[name].detach())
        if step + 1 in curve.steps:
            given = data["val.latents"], data["val.noise"], data["val.t"], data["val.labels"]
            with torch.no_grad():
                found["student"].append(float(_loss(weights, prediction, *given)))
                found["average"].append(float(_loss(average, prediction, *given)))
    return found


def _loss(w: Weights, prediction: str, clean: Tensor, noise: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    at = t.reshape(-1, 1, 1, 1)
    state, span = (1 - at) * clean + at * noise, at.clamp(min=0.1)
    predicted = forward(w, Inputs(state, t, labels)).model
    velocity = predicted if prediction == "velocity" else (state - predicted) / span
    return (velocity - (state - clean) / span).square().mean()
