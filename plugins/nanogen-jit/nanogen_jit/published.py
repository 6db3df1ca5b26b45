"""Conversion between tensors of the public JiT code (github.com/LTH14/JiT) and of the class `JiT`.

Only networks with class labels have a published form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_dit.published.layout import SAME, TRANSPOSED, Change, Entry, patches, rotary
from nanogen_jit.network import JiT

POSITIONS = "pos_embed"  # the fixed table of positions
POSITION_TOLERANCE = 1e-4
TABLE = Change(lambda parts: parts[0][0], lambda x: [x[None]])  # a leading axis of size 1
POINTWISE = Change(lambda parts: parts[0].flatten(1), lambda x: [x[..., None, None]])  # convolution of 1 x 1


def from_published(state: Mapping[str, Tensor], network: JiT, *, noise_scale: float = 1.0) -> dict[str, Tensor]:
    """Convert published tensors to a state dict of `network`.

    Args:
        state: Published tensors, such as `checkpoint["model_ema1"]`. A prefix "net." is removed.
        network: A network of the same sizes, with class labels and without "two-time".
        noise_scale: Noise scale of the checkpoint. The result is for images divided by this scale (`scaled-pixel`).

    Returns:
        A state dict for `network.load_state_dict`.

    Raises:
        DataError: A tensor is missing, unknown or misshaped, or the positions are not the fixed table.
    """
    tensors = {name.removeprefix("net."): tensor.float() for name, tensor in state.items()}
    own, layout = network.state_dict(), entries(network)
    wanted = {name for entry in layout for name in entry.theirs} | {POSITIONS}
    if tensors.keys() != wanted:
        name = sorted(tensors.keys() ^ wanted)[0]
        how = "lacks the tensor" if name in wanted else "has the unknown tensor"
        raise DataError(f"The checkpoint {how} {name!r}. Use a checkpoint of JiT with the sizes of this network.")
    found = {}
    for entry in layout:
        expected = [tuple(part.shape) for part in entry.change.to_theirs(own[entry.ours])]
        given = [tuple(tensors[name].shape) for name in entry.theirs]
        if given != expected:
            raise DataError(
                f"The tensor {entry.theirs[0]!r} of the checkpoint has shape {given[0]}, but this network needs"
                f" {expected[0]}. Use a checkpoint of JiT with the sizes of this network."
            )
        found[entry.ours] = entry.change.to_ours([tensors[name] for name in entry.theirs])
    table = tensors[POSITIONS][0]
    if table.shape != network.positions.shape or (table - network.positions.cpu()).abs().max() > POSITION_TOLERANCE:
        raise DataError(
            f"{POSITIONS!r} of the checkpoint is not this network's fixed position table. Use a checkpoint of JiT"
            " with the image, patch and hidden sizes of this network."
        )
    return _scaled(found, noise_scale)


def to_published(network: JiT, *, noise_scale: float = 1.0) -> dict[str, Tensor]:
    """Convert the weights of a network to published tensors. Inverts `from_published`."""
    state = _scaled(network.state_dict(), 1 / noise_scale)
    found = {
        name: part.contiguous()
        for entry in entries(network)
        for name, part in zip(entry.theirs, entry.change.to_theirs(state[entry.ours]), strict=True)
    }
    return {**found, POSITIONS: network.positions[None].clone()}


def entries(network: JiT) -> list[Entry]:
    """Return one entry for each tensor of the network's state dict."""
    heads, patch = network.trunk.heads, network.geometry.patch
    return [
        Entry("patch.reduce.weight", ("x_embedder.proj1.weight",), patches(patch)),
        *_linear("patch.expand", "x_embedder.proj2", weight=POINTWISE),
        *_linear("time.mlp_in", "t_embedder.mlp.0"),
        *_linear("time.mlp_out", "t_embedder.mlp.2"),
        Entry("condition.proj.weight", ("y_embedder.embedding_table.weight",), TRANSPOSED),
        Entry("condition.positions", ("in_context_posemb",), TABLE),
        *(entry for number in range(network.trunk.depth) for entry in _block(f"blocks.{number}", heads)),
        Entry("head.norm.weight", ("final_layer.norm_final.weight",), SAME),
        *_linear("head.modulation", "final_layer.adaLN_modulation.1"),
        *_linear("head.readout", "final_layer.linear"),
    ]


def _linear(ours: str, theirs: str, weight: Change = SAME) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", (f"{theirs}.weight",), weight)
    yield Entry(f"{ours}.bias", (f"{theirs}.bias",), SAME)


def _block(name: str, heads: int) -> Iterator[Entry]:
    for norm in ("norm1", "norm2"):
        yield Entry(f"{name}.{norm}.weight", (f"{name}.{norm}.weight",), SAME)
    for part in ("weight", "bias"):
        yield Entry(f"{name}.attention.qkv.{part}", (f"{name}.attn.qkv.{part}",), _fused(heads))
    for norm in ("q_norm", "k_norm"):
        yield Entry(f"{name}.attention.{norm}.weight", (f"{name}.attn.{norm}.weight",), rotary(1))
    yield from _linear(f"{name}.attention.proj", f"{name}.attn.proj")
    yield from _linear(f"{name}.mlp.w12", f"{name}.mlp.w12")
    yield from _linear(f"{name}.mlp.w3", f"{name}.mlp.w3")
    yield from _linear(f"{name}.modulation", f"{name}.adaLN_modulation.1")


def _fused(heads: int) -> Change:
    """Permute the rows of q and k in a matrix of q, k and v for the pairs of the rotary embedding."""
    permute = rotary(heads)

    def to_ours(x: Tensor) -> Tensor:
        q, k, v = x.chunk(3)
        return torch.cat([permute.to_ours([q]), permute.to_ours([k]), v])

    def to_theirs(x: Tensor) -> Tensor:
        q, k, v = x.chunk(3)
        return torch.cat([*permute.to_theirs(q), *permute.to_theirs(k), v])

    return Change(lambda parts: to_ours(parts[0]), lambda x: [to_theirs(x)])


def _scaled(state: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return the weights of the network `f(scale x) / scale`, where f has the weights of `state`."""
    factors = {"patch.reduce.weight": scale, "head.readout.weight": 1 / scale, "head.readout.bias": 1 / scale}
    return {name: tensor * factors.get(name, 1.0) for name, tensor in state.items()}
