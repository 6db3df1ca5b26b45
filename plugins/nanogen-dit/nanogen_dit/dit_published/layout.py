"""Converts the tensors of public DiT and SiT checkpoints to those of the class `DiT`, and back.

SiT's velocity points from noise to data, NanoGen's from data to noise: the conversion negates the last map.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nanogen_core.errors import Incompatible
from nanogen_dit.dit import DiT
from nanogen_dit.published.layout import SAME, TRANSPOSED, Change, Entry, patches

POSITIONS = "pos_embed"


def entries(network: DiT, *, sigma: bool = False) -> list[Entry]:
    """Return one entry for each tensor. The network must have class labels and no embedding of t - r.

    Args:
        network: The network.
        sigma: Whether the published last map also predicts a variance.
    """
    patch = network.geometry.patch
    return [
        *_linear("patch", "x_embedder.proj", weight=patches(patch)),
        *_linear("time.mlp_in", "t_embedder.mlp.0"),
        *_linear("time.mlp_out", "t_embedder.mlp.2"),
        Entry("condition.proj.weight", ("y_embedder.embedding_table.weight",), TRANSPOSED),
        *(entry for number in range(network.trunk.depth) for entry in _block(f"blocks.{number}")),
        *_linear("head.modulation", "final_layer.adaLN_modulation.1"),
        *_linear("head.readout", "final_layer.linear", weight=velocity(patch, sigma), bias=velocity(patch, sigma)),
    ]


def export_sit(network: DiT) -> dict[str, Tensor]:
    """Return the network's tensors under their published names, without a learned variance.

    Raises:
        Incompatible: The network differs from SiT: it has a text condition, an embedding of t - r,
            `reverse_time: false`, or a `time_factor` other than 1.
    """
    state, every = network.state_dict(), entries(network)
    if unnamed := sorted(state.keys() - {entry.ours for entry in every}):
        raise Incompatible(
            f"SiT has no name for {unnamed[0]!r}. Only `dit` with class labels, and with an objective of one time"
            " (not MeanFlow), can be exported."
        )
    if not network.reverse_time or network.time.factor != 1:
        raise Incompatible(
            f"SiT would run this network at wrong times: it was trained with reverse_time {network.reverse_time} and"
            f" time_factor {network.time.factor:g}. Only `dit` with `backbone.reverse_time: true` and"
            " `backbone.time_factor: 1` can be exported."
        )
    found = {
        name: part.contiguous()
        for entry in every
        for name, part in zip(entry.theirs, entry.change.to_theirs(state[entry.ours]), strict=True)
    }
    return {**found, POSITIONS: network.positions[None].clone()}


def velocity(patch: int, sigma: bool) -> Change:
    """Return the conversion that negates the weight or bias [patch * patch * channels, ...] of the last map.

    Args:
        patch: Latent cells along one side of a token.
        sigma: Whether the second half of the published channels is a variance. Reading drops the variance, and writing
            sets it to 0.
    """
    cells = patch**2

    def to_ours(x: Tensor) -> Tensor:
        rows = x.reshape(cells, -1, *x.shape[1:])
        kept = rows[:, : rows.shape[1] // 2] if sigma else rows
        return -kept.flatten(0, 1)

    def to_theirs(x: Tensor) -> Tensor:
        rows = -x.reshape(cells, -1, *x.shape[1:])
        return (torch.cat([rows, torch.zeros_like(rows)], dim=1) if sigma else rows).flatten(0, 1)

    return Change(lambda parts: to_ours(parts[0]), lambda x: [to_theirs(x)])


def _linear(ours: str, theirs: str, weight: Change = SAME, bias: Change = SAME) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", (f"{theirs}.weight",), weight)
    yield Entry(f"{ours}.bias", (f"{theirs}.bias",), bias)


def _block(name: str) -> Iterator[Entry]:
    yield from _linear(f"{name}.attention.qkv", f"{name}.attn.qkv")
    yield from _linear(f"{name}.attention.proj", f"{name}.attn.proj")
    yield from _linear(f"{name}.mlp.inlet", f"{name}.mlp.fc1")
    yield from _linear(f"{name}.mlp.outlet", f"{name}.mlp.fc2")
    yield from _linear(f"{name}.modulation", f"{name}.adaLN_modulation.1")
