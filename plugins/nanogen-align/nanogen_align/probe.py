"""What a backbone's block outputs look like, asked of the backbone itself."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times


def tap_shape(backbone: nn.Module, tap: str, latent: LatentSpec, condition: ConditionSpec) -> tuple[int, int]:
    """The number of image tokens and their width at a tap: one forward pass without memory or arithmetic.

    Raises what the backbone raises for a tap that it does not have.
    """
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    shapes = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    with torch.device("meta"), torch.no_grad():
        answer = functional_call(backbone, shapes, _question(latent, condition), {"taps": (tap,)})
    _, tokens, width = answer.features[tap].shape
    return tokens, width


def _question(latent: LatentSpec, condition: ConditionSpec) -> tuple[State, Times, Condition]:
    token = torch.zeros(1, latent.token_width) if latent.token_width else None
    mask = torch.ones(1, condition.length, dtype=torch.bool) if condition.padded else None
    asked = Condition(torch.zeros(1, condition.length, condition.width), mask)
    return State(torch.zeros(1, *latent.shape), token), Times(torch.ones(1), torch.ones(1)), asked
