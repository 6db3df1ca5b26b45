"""The other side of the training rows: LightningDiT and its loop as one would write them in an afternoon.

The same maths in float32, eager: q, k and v apart, norms written out, pairs of the rotation next to each other, a mask
that is always built, torch's AdamW as it comes, one EMA update for each parameter. Names are those of the published
layout, so that our weights load, and a test holds the two to the same loss.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Time(nn.Module):
    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.register_buffer("W", torch.randn(256))
        self.mlp = nn.Sequential(nn.Linear(512, width), nn.SiLU(), nn.Linear(width, width))
        self.learnable_tokens = nn.Parameter(torch.randn(tokens, width) * 0.02)

    def forward(self, t: Tensor) -> Tensor:
        angle = 2 * math.pi * t[:, None] * self.W[None]
        embedding = self.mlp(torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1))
        return self.learnable_tokens[None] + embedding[:, None]


class Label(nn.Module):
    def __init__(self, classes: int, width: int, tokens: int):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)
        self.learnable_tokens = nn.Parameter(torch.randn(tokens, width) * 0.02)

    def forward(self, label: Tensor) -> Tensor:
        return self.learnable_tokens[None] + self.embedding_table(label)[:, None]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.q_norm, self.k_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        b, s, width = x.shape
        q, k, v = (f(x).reshape(b, s, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(b, s, width))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)


class MLP(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(width, inner), nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(F.silu(self.w1(x)) * self.w2(x))


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.attn = RMSNorm(width), Attention(width, heads)
        self.norm2, self.mlp = RMSNorm(width), MLP(width, int(2 / 3 * 4 * width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, mask)
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    def __init__(self, channels: int, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Head(nn.Module):
    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm_final, self.linear = RMSNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm_final(x))


class PlainDiT(nn.Module):
    """Latents [B, C, side, side], times [B] and labels [B] to velocities of the latents' shape."""

    def __init__(self, *, channels: int, side: int, patch: int, width: int, depth: int, heads: int, classes: int):
        super().__init__()
        self.patch, self.grid = patch, side // patch
        self.x_embedder = Patches(channels, width, patch)
        self.t_embedder, self.ctx_embedder = Time(width, 4), Label(classes, width, 8)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.final_layer = Head(width, channels * patch * patch)
        angle = self._angles(width // heads)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def _angles(self, head: int) -> Tensor:
        frequencies = 10_000 ** (-torch.arange(0, head // 2, 2) / (head // 2))
        position = torch.arange(self.grid * self.grid)
        rows, columns = position // self.grid, position % self.grid
        angle = torch.cat([rows[:, None] * frequencies, columns[:, None] * frequencies], dim=1)
        return F.pad(angle, (0, 0, 0, 12))

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        tokens = torch.cat([self.x_embedder(x), self.t_embedder(t), self.ctx_embedder(label)], dim=1)
        mask = torch.ones(len(x), 1, 1, tokens.shape[1], dtype=torch.bool, device=x.device)
        for block in self.blocks:
            tokens = block(tokens, self.cos, self.sin, mask)
        out = self.final_layer(tokens[:, : self.grid**2])
        b, p, g = len(x), self.patch, self.grid
        return out.reshape(b, g, g, p, p, -1).permute(0, 5, 1, 3, 2, 4).reshape(b, -1, g * p, g * p)


class PlainLoop:
    """Training steps on the same latents [B, C, h, w] and labels [B].

    Args:
        bf16: Whether the forward pass runs under bfloat16 autocast, as the published loop does on GPUs.
        compiled: Whether the network is compiled as a whole.
    """

    def __init__(
        self,
        net: PlainDiT,
        latents: Tensor,
        labels: Tensor,
        *,
        lr: float,
        time_mean: float,
        bf16: bool = False,
        compiled: bool = False,
    ):
        self.net, self.latents, self.labels, self.time_mean = net, latents, labels, time_mean
        self.bf16, self.forward = bf16, torch.compile(net) if compiled else net
        self.ema = copy.deepcopy(net).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)

    def __call__(self) -> None:
        count = len(self.latents)
        t = torch.sigmoid(self.time_mean + torch.randn(count, device=self.latents.device))
        dropped = torch.rand(count, device=self.labels.device) < 0.1
        label = torch.where(dropped, self.net.ctx_embedder.embedding_table.num_embeddings - 1, self.labels)
        loss = self.loss(torch.randn_like(self.latents), t, label)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for average, parameter in zip(self.ema.parameters(), self.net.parameters(), strict=True):
                average.mul_(0.9995).add_(parameter, alpha=1 - 0.9995)
        loss.item()

    def loss(self, noise: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The mean squared error of the velocity at given noise, times and labels."""
        at = t[:, None, None, None]
        x = (1 - at) * self.latents + at * noise
        target = (x - self.latents) / at.clamp(min=0.05)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            predicted = self.forward(x, t, label)
        return (predicted.float() - target).square().mean()
