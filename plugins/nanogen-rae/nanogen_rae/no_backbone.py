"""What stands in a pipeline where a backbone would, while there is nothing to diffuse yet."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nanogen_core.errors import TrainingError
from nanogen_core.tensors import Condition, Prediction, State, Times


class NoBackbone(nn.Module):
    """Has no weights; asking it for a prediction is an error."""

    def forward(
        self, state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()
    ) -> Prediction:
        """Raises TrainingError."""
        raise TrainingError(
            "This pipeline has a decoder but no backbone: train one with `method: rae`, and set "
            "`tokenizer.decoder.path` to the decoder.safetensors in this run's folder."
        )
