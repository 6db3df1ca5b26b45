"""Small networks, their inputs, and routes computed in another way: all tokens run, but skipped ones are no keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times
from nanogen_core.testing.comparison import fill_zero_parameters, random_condition, random_state

LATENT = LatentSpec(3, 8, 8, factor=8)  # 16 image tokens
WITH_TOKEN = LatentSpec(3, 8, 8, factor=8, cls_token_width=5)
LABEL = ConditionSpec(width=6, length=1, learned=3)
TEXT = ConditionSpec(width=10, length=5, normalize=True, padded=True)
SIZES = {"hidden": 32, "depth": 5, "heads": 2, "route_from": 2, "route_to": 4}
DECODER = {"decoder_hidden": 48, "decoder_depth": 1, "decoder_heads": 3}


def built(chosen: tuple[type, Any], latent: LatentSpec, condition: ConditionSpec, wanted: tuple[str, ...]) -> Any:
    """Return the network with noise in place of zero weights."""
    torch.manual_seed(0)
    cls, config = chosen
    net = cls(config, latent=latent, condition=condition, wanted=frozenset(wanted))
    fill_zero_parameters(net)
    return net


def inputs(
    latent: LatentSpec = LATENT, condition: ConditionSpec = TEXT, rows: int = 4
) -> tuple[State, Times, Condition]:
    """Return states, times with r < t, and conditions: texts of 0 to 3 tokens."""
    t = torch.linspace(0.2, 0.9, rows)
    return random_state(latent, rows), Times(t, 0.4 * t), random_condition(condition, rows)


def recorded(encoder: Any) -> list[Tensor | None]:
    """Record the positions that an encoder keeps, forward pass by forward pass."""
    found: list[Tensor | None] = []
    draw = encoder.kept

    def kept(x: Tensor) -> Tensor | None:
        found.append(draw(x))
        return found[-1]

    encoder.kept = kept
    return found


def is_kept(positions: Tensor, length: int) -> Tensor:
    """Return which positions of a sequence are among `positions` [B, K]: [B, S]."""
    return torch.stack([torch.isin(torch.arange(length), row) for row in positions])


def masked_blocks(encoder: Any, x: Tensor, numbers: range, embedded: Any, kept: Tensor) -> dict[int, Tensor]:
    """Return the outputs of blocks in which the tokens outside `kept` [B, S] neither act nor change."""
    keys = kept[:, None, None] if embedded.mask is None else kept[:, None, None] & embedded.mask
    outputs = {}
    for number in numbers:
        out = encoder.blocks[number - 1](x, embedded.rotation, keys)
        x = torch.where(kept[..., None], out, x)
        outputs[number] = x
    return outputs
