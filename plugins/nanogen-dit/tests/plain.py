"""Reference implementation of the published networks, from their description, with published tensor names.

It uses nothing of the package. `w` is a state dict, D the width, S the length of the sequence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


class Outputs(NamedTuple):
    model: Tensor  # [B, C, h, w]
    cls: Tensor | None
    base: Tensor | None
    blocks: list[Tensor]  # state tokens after each encoder block, [B, (1) + N, D]


class Inputs(NamedTuple):
    x: Tensor  # [B, C, h, w]
    t: Tensor  # [B]
    context: Tensor  # [B] class numbers, or [B, L, D] encoder states
    mask: Tensor | None = None  # [B, L] bool
    r: Tensor | None = None  # [B], for two times
    cls: Tensor | None = None  # [B, D]


def forward(w: Weights, q: Inputs, base_depth: int = 0) -> Outputs:
    """The outputs of a network. `base_depth` is the block that the internal head reads."""
    decoupled = "s_embedder.proj.weight" in w
    first, blocks = ("s_embedder" if decoupled else "x_embedder"), _depth(w)
    encoders = [i for i in range(blocks) if f"blocks.{i}.adaln_modulation.1.weight" not in w]
    patch = w[f"{first}.proj.weight"].shape[-1]
    side = q.x.shape[-1] // patch
    image = F.conv2d(q.x, w[f"{first}.proj.weight"], w[f"{first}.proj.bias"], stride=patch).flatten(2).mT  # [B, N, D]
    if q.cls is not None:
        image = torch.cat([_cls_token(w, q.cls, "_enc" if decoupled else "")[:, None], image], dim=1)
    embedding, times = _time(w, "t_embedder", q.t if q.r is None else q.t - q.r)
    if q.r is not None:
        times = torch.cat([times, _time(w, "t_abs_embedder", q.t)[1]], dim=1)
    condition = _condition(w, q.context)
    x = torch.cat([image, times, condition], dim=1)
    visible = torch.ones(x.shape[:2], dtype=torch.bool)
    if q.mask is not None:
        visible[:, -q.mask.shape[1] :] = q.mask
    lead = int(q.cls is not None)
    angles = _angles(side, lead, x.shape[1], w["blocks.0.attn.q_norm.weight"].shape[0])
    base, outputs = None, []
    for i in encoders:
        x = x + _attention(w, f"blocks.{i}.attn", _rms(x, w[f"blocks.{i}.norm1.weight"]), angles, visible)
        x = x + _swiglu(w, f"blocks.{i}.mlp", _rms(x, w[f"blocks.{i}.norm2.weight"]))
        outputs.append(x[:, : image.shape[1]])
        if i + 1 == base_depth:
            base = _unpatch(_base(w, outputs[-1][:, lead:], embedding, decoupled), patch, side)
    tokens = x[:, : image.shape[1]]
    if not decoupled:
        tokens = _rms(tokens, w["final_layer.norm_final.weight"])
        cls = _linear(w, "final_layer.cls_linear", tokens[:, 0]) if lead else None
        return Outputs(_unpatch(_linear(w, "final_layer.linear", tokens[:, lead:]), patch, side), cls, base, outputs)
    c = F.silu(tokens + embedding[:, None])
    c = _linear(w, "s_projector", c) if "s_projector.weight" in w else c
    y = F.conv2d(q.x, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=patch).flatten(2).mT
    if q.cls is not None:
        y = torch.cat([_cls_token(w, q.cls, "_dec")[:, None], y], dim=1)
    for i in range(len(encoders), blocks):
        y = _decoder_block(w, f"blocks.{i}", y, c, side, lead)
    linear, normed = _modulated_head(w, "final_layer", y, c)
    cls = _linear(w, "final_layer.cls_linear", normed[:, 0]) if lead else None
    return Outputs(_unpatch(linear[:, lead:], patch, side), cls, base, outputs)


def _base(w: Weights, tokens: Tensor, embedding: Tensor, decoupled: bool) -> Tensor:
    """The internal head, on the image tokens of an encoder block."""
    if not decoupled:
        return _linear(w, "base_final_layer.linear", _rms(tokens, w["base_final_layer.norm_final.weight"]))
    c = F.silu(tokens + embedding[:, None])
    return _modulated_head(w, "base_final_layer", c, c)[0]


def _depth(w: Weights) -> int:
    return 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))


def _linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt() * weight


def _cls_token(w: Weights, cls: Tensor, where: str) -> Tensor:
    return _rms(_linear(w, f"cls_in_proj{where}", cls), w[f"cls_in_norm{where}.weight"])


def _time(w: Weights, name: str, t: Tensor) -> tuple[Tensor, Tensor]:
    angle = 2 * math.pi * t[:, None] * w[f"{name}.W"]
    features = torch.cat([angle.sin(), angle.cos()], dim=1)
    embedding = _linear(w, f"{name}.mlp.2", F.silu(_linear(w, f"{name}.mlp.0", features)))
    return embedding, w[f"{name}.learnable_tokens"] + embedding[:, None]


def _condition(w: Weights, context: Tensor) -> Tensor:
    if context.ndim == 1:
        return w["ctx_embedder.learnable_tokens"] + w["ctx_embedder.embedding_table.weight"][context][:, None]
    return _linear(w, "ctx_embedder.proj", _rms(context, w["ctx_embedder.norm.weight"]))


def _angles(side: int, lead: int, length: int, head: int) -> Tensor:
    """[S, head / 2]: rows in the first half, columns in the second; 0 for all but image tokens."""
    frequencies = 10000.0 ** (-torch.arange(0, head // 2, 2).double() / (head // 2))
    found = torch.zeros(length, head // 2, dtype=torch.float64)
    for row in range(side):
        for column in range(side):
            found[lead + row * side + column] = torch.cat([row * frequencies, column * frequencies])
    return found


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    cosine, sine = angles.cos().to(x), angles.sin().to(x)
    return torch.stack([a * cosine - b * sine, b * cosine + a * sine], dim=-1).flatten(-2)


def _attention(w: Weights, name: str, x: Tensor, angles: Tensor, visible: Tensor | None) -> Tensor:
    head = w[f"{name}.q_norm.weight"].shape[0]
    q, k, v = (_linear(w, f"{name}.{part}", x).unflatten(-1, (-1, head)).transpose(1, 2) for part in "qkv")
    q = _rotate(_rms(q, w[f"{name}.q_norm.weight"]), angles)
    k = _rotate(_rms(k, w[f"{name}.k_norm.weight"]), angles)
    scores = q @ k.mT / math.sqrt(head)  # [B, heads, S, S]
    if visible is not None:
        scores = scores.masked_fill(~visible[:, None, None, :], -torch.inf)
    return _linear(w, f"{name}.proj", (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))


def _swiglu(w: Weights, name: str, x: Tensor) -> Tensor:
    return _linear(w, f"{name}.w3", F.silu(_linear(w, f"{name}.w1", x)) * _linear(w, f"{name}.w2", x))


def _decoder_block(w: Weights, name: str, y: Tensor, c: Tensor, side: int, lead: int) -> Tensor:
    shift1, scale1, gate1, shift2, scale2, gate2 = _linear(w, f"{name}.adaln_modulation.1", F.silu(c)).chunk(6, dim=-1)
    angles = _angles(side, lead, y.shape[1], w[f"{name}.attn.q_norm.weight"].shape[0])
    attended = _rms(y, w[f"{name}.norm1.weight"]) * (1 + scale1) + shift1
    y = y + gate1 * _attention(w, f"{name}.attn", attended, angles, None)
    return y + gate2 * _swiglu(w, f"{name}.mlp", _rms(y, w[f"{name}.norm2.weight"]) * (1 + scale2) + shift2)


def _modulated_head(w: Weights, name: str, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    shift, scale = _linear(w, f"{name}.adaln_modulation.1", F.silu(c)).chunk(2, dim=-1)
    normed = _rms(y, w[f"{name}.norm.weight"]) * (1 + scale) + shift
    return _linear(w, f"{name}.linear", normed), normed


def _unpatch(tokens: Tensor, patch: int, side: int) -> Tensor:
    """[B, N, p p C], channel last, to [B, C, h, w]."""
    pixels = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (side, side))  # [B, row, column, p, p, C]
    return pixels.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
