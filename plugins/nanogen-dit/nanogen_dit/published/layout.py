"""Converts the tensors of DiffusionBench checkpoints to those of `LightningDiT` and `DDT`, and back.

Each entry describes one of NanoGen's tensors, which may combine several published tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_dit.ddt import DDT
from nanogen_dit.encoder import Encoder
from nanogen_dit.lightning_dit import LightningDiT

Network = DDT | LightningDiT

#: Names of the guidance embeddings, from the code of Improved MeanFlow. The published layout has none.
GUIDANCE_NAMES = {"share": "omega_embedder", "t_min": "cfg_t_start_embedder", "t_max": "cfg_t_end_embedder"}


class Change(NamedTuple):
    """A conversion of published tensors to one of NanoGen's, and its inverse."""

    to_ours: Callable[[Sequence[Tensor]], Tensor]
    to_theirs: Callable[[Tensor], Sequence[Tensor]]


class Entry(NamedTuple):
    """A tensor of NanoGen (`ours`), the published tensors that it is computed from (`theirs`), and the conversion."""

    ours: str
    theirs: tuple[str, ...]
    change: Change


SAME = Change(lambda parts: parts[0], lambda x: [x])
TRANSPOSED = Change(lambda parts: parts[0].T, lambda x: [x.T])  # embedding table <-> linear map of one-hot tokens
STACKED = Change(lambda parts: torch.cat(list(parts)), lambda x: x.chunk(2))


def patches(size: int) -> Change:
    """Return the conversion of a convolution kernel [width, C, p, p] to a linear map [width, C p p] of patches."""
    return Change(lambda parts: parts[0].flatten(1), lambda x: [x.reshape(len(x), -1, size, size)])


def rotary(heads: int) -> Change:
    """Return the conversion that permutes the d rows of each head: pairs (2i, 2i + 1) become pairs (i, i + d/2)."""
    return Change(lambda parts: _to_halves(parts[0], heads), lambda x: [_to_pairs(x, heads)])


def attention(heads: int) -> Change:
    """Return the conversion that stacks q, k and v into one tensor. The rows of q and k are permuted as in `rotary`."""

    def to_ours(parts: Sequence[Tensor]) -> Tensor:
        q, k, v = parts
        return torch.cat([_to_halves(q, heads), _to_halves(k, heads), v])

    def to_theirs(x: Tensor) -> Sequence[Tensor]:
        q, k, v = x.chunk(3)
        return [_to_pairs(q, heads), _to_pairs(k, heads), v]

    return Change(to_ours, to_theirs)


def entries(network: Network) -> list[Entry]:
    """Return one entry for each tensor of the network's state dict.

    Raises:
        Incompatible: The layout of DiffusionBench has no name for a tensor, for example with `interval: sum`.
    """
    state = network.state_dict()
    every = _lightning_dit(network) if isinstance(network, LightningDiT) else _ddt(network)
    found = [entry for entry in every if entry.ours in state]
    missing = sorted(state.keys() - {entry.ours for entry in found})
    if missing:
        raise Incompatible(
            f"DiffusionBench has no name for {missing[0]!r}. Only `lightning-dit` and `ddt` with"
            " `backbone.interval: tokens` can be exported."
        )
    return found


def rope_tables(network: Network) -> dict[str, Tensor]:
    """Return the published tables of the rotary embedding: cosines and sines [S, d], equal for channels 2i, 2i + 1."""
    ropes = {"rope": network.encoder.rope}
    if isinstance(network, DDT):
        ropes = {"enc_rope": network.encoder.rope, "dec_rope": network.decoder.rope}
    tables = {}
    for name, rope in ropes.items():
        for function, table in {"cos": rope.cos, "sin": rope.sin}.items():
            half = table[:, 0].chunk(2, dim=1)[1]  # [S, d/2], the half with the positive sine
            tables[f"{name}.freqs_{function}"] = half.repeat_interleave(2, dim=1)
    return tables


def _to_halves(x: Tensor, heads: int) -> Tensor:
    return x.reshape(heads, -1, 2, *x.shape[1:]).transpose(1, 2).flatten(0, 2)


def _to_pairs(x: Tensor, heads: int) -> Tensor:
    return x.reshape(heads, 2, -1, *x.shape[1:]).transpose(1, 2).flatten(0, 2)


def _linear(ours: str, *theirs: str, weight: Change = SAME, bias: Change = SAME) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), weight)
    yield Entry(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs), bias)


def _norm(ours: str, theirs: str, weight: Change = SAME) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", (f"{theirs}.weight",), weight)


def _lightning_dit(network: LightningDiT) -> Iterator[Entry]:
    yield from _encoder(network.encoder, "x_embedder", "")
    yield from _head("head", "final_layer", "norm_final")
    yield from _head("internal_head", "base_final_layer", "norm_final")


def _ddt(network: DDT) -> Iterator[Entry]:
    patch = network.geometry.patch
    yield from _encoder(network.encoder, "s_embedder", "_enc")
    yield from _linear("connector", "s_projector")
    yield from _state("decoder.state", "x_embedder", "_dec", patch)
    inner, outer = network.encoder.trunk, network.decoder.trunk
    for number in range(outer.depth):
        yield from _block(f"decoder.blocks.{number}", f"blocks.{inner.depth + number}", outer.heads)
    yield from _head("decoder.head", "final_layer", "norm")
    yield from _head("internal_head", "base_final_layer", "norm")


def _encoder(encoder: Encoder, patch_name: str, side: str) -> Iterator[Entry]:
    yield from _state("encoder.state", patch_name, side, encoder.geometry.patch)
    yield from _time("encoder.time", "t_embedder")
    yield from _time("encoder.second_time", "t_abs_embedder")
    for name, theirs in GUIDANCE_NAMES.items():
        yield from _time(f"encoder.guidance.{name}", theirs)
    yield from _condition(encoder)
    for number in range(encoder.trunk.depth):
        yield from _block(f"encoder.blocks.{number}", f"blocks.{number}", encoder.trunk.heads)


def _state(ours: str, patch_name: str, side: str, patch: int) -> Iterator[Entry]:
    """`side` is the suffix of the class token's map and norm: "_enc" and "_dec" in DDT, empty in LightningDiT."""
    yield from _linear(f"{ours}.patch", f"{patch_name}.proj", weight=patches(patch))
    yield from _linear(f"{ours}.token.proj", f"cls_in_proj{side}")
    yield from _norm(f"{ours}.token.norm", f"cls_in_norm{side}")


def _time(ours: str, theirs: str) -> Iterator[Entry]:
    yield Entry(f"{ours}.frequencies", (f"{theirs}.W",), SAME)
    yield from _linear(f"{ours}.mlp_in", f"{theirs}.mlp.0")
    yield from _linear(f"{ours}.mlp_out", f"{theirs}.mlp.2")
    yield Entry(f"{ours}.learned", (f"{theirs}.learnable_tokens",), SAME)


def _condition(encoder: Encoder) -> Iterator[Entry]:
    """Yield the entries: labels (with learned tokens) have an embedding table, texts a linear map with a bias."""
    table = encoder.condition.learned is not None
    yield from _norm("encoder.condition.norm", "ctx_embedder.norm")
    yield from _linear(
        "encoder.condition.proj",
        "ctx_embedder.embedding_table" if table else "ctx_embedder.proj",
        weight=TRANSPOSED if table else SAME,
    )
    yield Entry("encoder.condition.learned", ("ctx_embedder.learnable_tokens",), SAME)


def _block(ours: str, theirs: str, heads: int) -> Iterator[Entry]:
    qkv = tuple(f"{theirs}.attn.{name}" for name in "qkv")
    gates = (f"{theirs}.mlp.w1", f"{theirs}.mlp.w2")
    yield from _norm(f"{ours}.norm1", f"{theirs}.norm1")
    yield from _linear(f"{ours}.attention.qkv", *qkv, weight=attention(heads), bias=attention(heads))
    yield from _norm(f"{ours}.attention.q_norm", f"{theirs}.attn.q_norm", rotary(1))
    yield from _norm(f"{ours}.attention.k_norm", f"{theirs}.attn.k_norm", rotary(1))
    yield from _linear(f"{ours}.attention.proj", f"{theirs}.attn.proj")
    yield from _norm(f"{ours}.norm2", f"{theirs}.norm2")
    yield from _linear(f"{ours}.mlp.w12", *gates, weight=STACKED, bias=STACKED)
    yield from _linear(f"{ours}.mlp.w3", f"{theirs}.mlp.w3")
    yield from _linear(f"{ours}.modulation", f"{theirs}.adaln_modulation.1")


def _head(ours: str, theirs: str, norm: str) -> Iterator[Entry]:
    yield from _norm(f"{ours}.norm", f"{theirs}.{norm}")
    yield from _linear(f"{ours}.modulation", f"{theirs}.adaln_modulation.1")
    yield from _linear(f"{ours}.readout.image", f"{theirs}.linear")
    yield from _linear(f"{ours}.readout.token", f"{theirs}.cls_linear")
