"""One training step, as the one module that DDP or FSDP wraps: the whole loss is computed inside its forward.

Wrapping the bare network instead loses the gradient synchronisation of every method that calls it through
`.module` (measured for MeanFlow).
"""

from __future__ import annotations

from torch import nn

from nanogen_core.protocols import Stage
from nanogen_core.randomness import Draws
from nanogen_core.tensors import Batch, Losses


class TrainStep(nn.Module):
    """`forward(phase, batch, rng)` is the stage's loss."""

    def __init__(self, stage: Stage):
        super().__init__()
        self.nets = stage.nets
        self._stage = [stage]  # in a list: the stage is no module of this one

    def forward(self, phase: str, batch: Batch, rng: Draws) -> Losses:
        return self._stage[0].loss(phase, batch, rng)
