"""Placeholder backbone for stage 1, which trains no diffusion model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nanogen_core.errors import TrainingError
from nanogen_core.tensors import Condition, Prediction, State, Times


class NoBackbone(nn.Module):
    """Backbone without weights. A call raises TrainingError."""

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Raise TrainingError."""
        raise TrainingError(
            "This pipeline has a decoder but no backbone. Train a backbone with `method: rae`, and set "
            "`tokenizer.decoder.path` to the decoder.safetensors in this run's folder."
        )
