"""A network that knows the answer, to test objectives with: the condition of a sample is the sample itself.

On the straight line `x_t = (1 - t) * data + t * noise` the instantaneous velocity at t and the average one from t to
any r are both `noise - data = (x_t - data) / t`, so that one oracle serves flow matching and MeanFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nanogen_core.tensors import Condition, Prediction, State, Times, per_sample

Predicts = Literal["velocity", "data"]


def condition_of(clean: State) -> Condition:
    """The data as one condition token [B, 1, C*h*w (+ D)]."""
    parts = [part.flatten(1) for part in clean if part is not None]
    return Condition(torch.cat(parts, dim=1)[:, None])  # [B, 1, width]


def data_of(condition: Condition, like: State) -> State:
    """The data back from a condition, shaped like a state."""
    row = condition.tokens[:, 0]
    size = like.latent[0].numel()
    latent = row[:, :size].reshape(like.latent.shape)
    return State(latent, None if like.cls_token is None else row[:, size:])


class Oracle(nn.Module):
    """Predicts `scale` times the truth plus `offset` [C, h, w]; the true one has scale 1 and offset 0."""

    def __init__(self, predicts: Predicts = "velocity", *, scale: float = 1.0, offset: Tensor | None = None):
        super().__init__()
        self.predicts = predicts
        self.scale = nn.Parameter(torch.tensor(scale))
        self.offset = nn.Parameter(torch.zeros(()) if offset is None else offset)

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """The true velocity or data of each row; every tap is the state's cells as tokens [B, h * w, C]."""
        data = data_of(condition, state)
        truth = data if self.predicts == "data" else state.map(lambda x, d: (x - d) / per_sample(times.t, x), data)
        value = truth.map(lambda value: self.scale * value)
        tokens = state.latent.flatten(2).transpose(1, 2)  # [B, h * w, C]
        return Prediction(value._replace(latent=value.latent + self.offset), dict.fromkeys(intermediates, tokens))
