"""What a backbone's block outputs look like, asked of the backbone itself."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times


def intermediate_shape(backbone: nn.Module, name: str, latent: LatentSpec, condition: ConditionSpec) -> tuple[int, int]:
    """The number of image tokens of a block output, and their width. Runs one forward pass on the meta device.

    Raises what the backbone raises for a name that it does not have.
    """
    tensors = {**dict(backbone.named_parameters()), **dict(backbone.named_buffers())}
    shapes = {key: torch.empty_like(tensor, device="meta") for key, tensor in tensors.items()}
    with torch.device("meta"), torch.no_grad():
        answer = functional_call(backbone, shapes, _question(latent, condition), {"intermediates": (name,)})
    _, tokens, width = answer.features[name].shape
    return tokens, width


def _question(latent: LatentSpec, condition: ConditionSpec) -> tuple[State, Times, Condition]:
    token = torch.zeros(1, latent.cls_token_width) if latent.cls_token_width else None
    mask = torch.ones(1, condition.length, dtype=torch.bool) if condition.padded else None
    asked = Condition(torch.zeros(1, condition.length, condition.width), mask)
    return State(torch.zeros(1, *latent.shape), token), Times(torch.ones(1), torch.ones(1)), asked
