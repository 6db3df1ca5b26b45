"""A network that predicts the exact velocity or data, to test objectives. Condition tokens hold the clean samples.

On the straight path x_t = (1 - t) data + t noise, the instantaneous velocity at t and the average velocity over any
[r, t] are both noise - data = (x_t - data) / t. The oracle is therefore exact for flow matching and for MeanFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample

Predicts = Literal["velocity", "data"]


def condition_of(clean: State) -> Condition:
    """Return clean states as condition tokens [B, 1, C*h*w (+ class token width)]."""
    parts = [part.flatten(1) for part in clean if part is not None]
    return Condition(torch.cat(parts, dim=1)[:, None])  # [B, 1, width]


def data_of(condition: Condition, like: State) -> State:
    """Return the clean states that `condition_of` stored, in the shape of `like`."""
    row = condition.tokens[:, 0]
    size = like.latent[0].numel()
    latent = row[:, :size].reshape(like.latent.shape)
    return State(latent, None if like.cls_token is None else row[:, size:])


class Oracle(nn.Module):
    """Predicts `scale` times the truth plus `offset` [C, h, w]. Exact for scale 1 and offset 0."""

    def __init__(self, predicts: Predicts = "velocity", *, scale: float = 1.0, offset: Tensor | None = None):
        super().__init__()
        self.predicts = predicts
        self.scale = nn.Parameter(torch.tensor(scale))
        self.offset = nn.Parameter(torch.zeros(()) if offset is None else offset)

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Return the prediction. Every requested intermediate is the input latent as tokens [B, h * w, C]."""
        data = data_of(condition, state)
        truth = data if self.predicts == "data" else state.map(lambda x, d: (x - d) / per_sample(times.t, x), data)
        value = truth.map(lambda value: self.scale * value)
        tokens = state.latent.flatten(2).transpose(1, 2)  # [B, h * w, C]
        return Prediction(value._replace(latent=value.latent + self.offset), dict.fromkeys(intermediates, tokens))
