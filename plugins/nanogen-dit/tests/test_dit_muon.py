"""Muon on both backbones treats q, k, v and w1, w2 as separate matrices, as in the published layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nanogen_dit.published import export_published
from nanogen_train.optim.fused import NOT_FUSED, FusedRows, fused_rows
from nanogen_train.optim.optimizers import Muon
from nanogen_train.optim.settings import MuonConfig

Make = Callable[..., Any]
LR, STEPS = 1e-2, 3
Gradients = list[dict[str, Tensor]]  # of each step, by the names of ours


def _moved(net: nn.Module, gradients: Gradients, fused: FusedRows) -> dict[str, Tensor]:
    """Tensors in the published layout after some steps of the library's Muon."""
    optimizer = Muon(MuonConfig(lr=LR)).build(list(net.named_parameters()), fused)
    for step in gradients:
        for name, parameter in net.named_parameters():
            parameter.grad = step[name].clone()
        optimizer.step()
    return export_published(net, tables=False)  # type: ignore[arg-type]


def _reference(net: nn.Module, gradients: Gradients) -> dict[str, Tensor]:
    """The same by torch's Muon on separate matrices. The conversion to the published layout only permutes and splits,
    so that it also converts gradients."""
    start = {name: x.clone() for name, x in export_published(net, tables=False).items()}  # type: ignore[arg-type]
    matrices = {n: nn.Parameter(x.clone()) for n, x in start.items() if n.startswith("blocks.") and x.ndim == 2}
    optimizer = torch.optim.Muon(matrices.values(), lr=LR, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for step in gradients:
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(step[name])
        exported = export_published(net, tables=False)  # type: ignore[arg-type]
        for name, parameter in matrices.items():
            parameter.grad = exported[name].clone()
        optimizer.step()
    return {name: parameter.detach() - start[name] for name, parameter in matrices.items()}


def test_fused_matrices_move_as_those_of_the_published_layout(make: Make) -> None:
    net = make().float()
    start = {name: x.clone() for name, x in net.state_dict().items()}
    before = {name: x.clone() for name, x in export_published(net, tables=False).items()}
    gradients = [{name: torch.randn_like(p) for name, p in net.named_parameters()} for _ in range(STEPS)]
    expected = _reference(net, gradients)
    assert {name.split(".", 2)[2] for name in expected} >= {
        "attn.q.weight", "attn.k.weight", "attn.v.weight", "attn.proj.weight",
        "mlp.w1.weight", "mlp.w2.weight", "mlp.w3.weight",
    }  # fmt: skip
    worst = {}
    for kind, fused in (("apart", fused_rows(net)), ("as one", NOT_FUSED)):
        net.load_state_dict(start)
        moved = _moved(net, gradients, fused)
        errors = {n: float((moved[n] - before[n] - x).norm() / x.norm()) for n, x in expected.items()}
        worst[kind] = max(errors.values())
    assert worst["apart"] < 0.02  # rows of q and k are in another order, and the iterations are in bf16
    assert worst["as one"] > 0.2


def test_q_k_v_and_w1_w2_are_what_is_fused(make: Make) -> None:
    net = make()
    fused = fused_rows(net)
    names = {name.split(".", 3)[-1]: fused[p] for name, p in net.named_parameters() if p in fused and "encoder" in name}
    assert names == {"attention.qkv.weight": (32, 32, 32), "mlp.w12.weight": (85, 85)}
    assert len(fused) == 2 * sum("qkv.weight" in name for name, _ in net.named_parameters())
