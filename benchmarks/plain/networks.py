"""Plain LightningDiT and DDT."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor, nn

from benchmarks.plain.embeddings import AdaLNHead, Captions, Head, Label, Patches, Text, Time, unpatchify
from benchmarks.plain.layers import AdaLNBlock, Block, angles

TIME_TOKENS = 4


@frozen(kw_only=True)
class Sizes:
    """Sizes of latents, and of a network with one time, or two for MeanFlow."""

    channels: int
    side: int
    patch: int
    width: int
    depth: int
    heads: int
    decoder: tuple[int, int, int] = (0, 0, 0)  # width, depth and heads of DDT's decoder
    two_times: bool = False
    explicit: bool = False  # attention by tensor operations

    @property
    def grid(self) -> int:
        return self.side // self.patch


class Rotary(nn.Module):
    """Keeps the cosines and sines of a sequence, which are not saved."""

    def __init__(self, grid: int, head: int, others: int):
        super().__init__()
        angle = angles(grid, head, others)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)


class Network(nn.Module):
    """Embeds times and a label or captions as tokens, which follow those of the image."""

    ctx_embedder: Any  # Label, or Text for captions

    def __init__(self, sizes: Sizes, condition: Label | Text):
        super().__init__()
        self.sizes = sizes
        self.ctx_embedder = condition
        self.t_embedder = Time(sizes.width, TIME_TOKENS)
        self.t_abs_embedder = Time(sizes.width, TIME_TOKENS) if sizes.two_times else None
        others = TIME_TOKENS * (1 + sizes.two_times) + condition.length
        self.rope = Rotary(sizes.grid, sizes.width // sizes.heads, others)
        encoder = [Block(sizes.width, sizes.heads, sizes.explicit) for _ in range(sizes.depth)]
        width, depth, heads = sizes.decoder
        self.blocks = nn.ModuleList([*encoder, *(AdaLNBlock(width, heads, sizes.explicit) for _ in range(depth))])

    def encode(self, image: Tensor, t: Tensor, condition: Tensor | Captions, r: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the image tokens after the encoder, and the embedding of t (of t - r with two times)."""
        if self.t_abs_embedder is None or r is None:
            embedding, times = self.t_embedder(t)
        else:
            embedding, times = self.t_embedder(t - r)
            times = torch.cat([times, self.t_abs_embedder(t)[1]], dim=1)
        context, seen = self.ctx_embedder(condition)
        tokens = torch.cat([image, times, context], dim=1)
        mask = F.pad(seen, (tokens.shape[1] - seen.shape[1], 0), value=True)[:, None, None]
        for block in self.blocks[: self.sizes.depth]:
            tokens = block(tokens, self.rope.cos, self.rope.sin, mask)
        return tokens[:, : image.shape[1]], embedding


class PlainDiT(Network):
    """Map latents [B, C, side, side], times t (and r) [B] and conditions to velocities [B, C, side, side]."""

    def __init__(self, sizes: Sizes, condition: Label | Text):
        super().__init__(sizes, condition)
        self.x_embedder = Patches(sizes.channels, sizes.width, sizes.patch)
        self.final_layer = Head(sizes.width, sizes.channels * sizes.patch**2)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | Captions, r: Tensor | None = None) -> Tensor:
        tokens, _ = self.encode(self.x_embedder(x), t, condition, r)
        return unpatchify(self.final_layer(tokens), self.sizes.patch, self.sizes.grid)


class PlainDDT(Network):
    """The encoder of `PlainDiT`, and a decoder that its tokens condition. Inputs and outputs are the same."""

    def __init__(self, sizes: Sizes, condition: Label | Text):
        super().__init__(sizes, condition)
        width, _, heads = sizes.decoder
        self.s_embedder = Patches(sizes.channels, sizes.width, sizes.patch)
        self.x_embedder = Patches(sizes.channels, width, sizes.patch)
        self.s_projector = nn.Linear(sizes.width, width) if sizes.width != width else nn.Identity()
        self.dec_rope = Rotary(sizes.grid, width // heads, others=0)
        self.final_layer = AdaLNHead(width, sizes.channels * sizes.patch**2)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | Captions, r: Tensor | None = None) -> Tensor:
        encoded, embedding = self.encode(self.s_embedder(x), t, condition, r)
        vectors = self.s_projector(F.silu(encoded + embedding))
        tokens = self.x_embedder(x)
        for block in self.blocks[self.sizes.depth :]:
            tokens = block(tokens, self.dec_rope.cos, self.dec_rope.sin, vectors)
        return unpatchify(self.final_layer(tokens, vectors), self.sizes.patch, self.sizes.grid)
