"""Finds the shapes of a backbone's block outputs by a forward pass on the meta device."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times


def intermediate_shape(backbone: nn.Module, name: str, latent: LatentSpec, condition: ConditionSpec) -> tuple[int, int]:
    """Return the number and width of the image tokens in a block output. Runs one forward pass on the meta device.

    Args:
        name: Name of the block output, such as "block.8".
        latent: Shape of the state.
        condition: Shape of the condition.

    Raises:
        NanoGenError: The backbone has no output of this name.
    """
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    shapes = {key: torch.empty_like(tensor, device="meta") for key, tensor in tensors.items()}
    with torch.device("meta"), torch.no_grad():
        prediction = functional_call(backbone, shapes, _inputs(latent, condition), {"intermediates": (name,)})
    _, tokens, width = prediction.features[name].shape
    return tokens, width


def _inputs(latent: LatentSpec, condition: ConditionSpec) -> tuple[State, Times, Condition]:
    token = torch.zeros(1, latent.cls_token_width) if latent.cls_token_width else None
    mask = torch.ones(1, condition.length, dtype=torch.bool) if condition.padded else None
    tokens = Condition(torch.zeros(1, condition.length, condition.width), mask)
    return State(torch.zeros(1, *latent.shape), token), Times(torch.ones(1), torch.ones(1)), tokens
