"""Alignment of a network with its own EMA on a cleaner input (Self-Flow, arXiv 2603.06507)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from nanogen_align.probe import intermediate_shape
from nanogen_core.protocols import Backbone, Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import network_inputs
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, ForwardPass, Losses, State, Times
from nanogen_dit.linear import Linear
from nanogen_selfflow.config import SelfAlignmentConfig
from nanogen_train.protocols import Auxiliary


class SelfAlignment(Auxiliary):
    """Loss that aligns a block of the network with a block of the teacher, the EMA of the network.

    The loss is `weight * (1 - cosine similarity of head(student block) and teacher block)`, averaged over tokens and
    samples. The teacher has no gradient. Its input has the same data and noise as the student's, but all of its tokens
    have the smallest time of the sample's tokens. With the objective `self-flow`, this input is cleaner than the
    student's; with one time per sample, both are equal. The head is an MLP: `Linear(D, D + E)`, SiLU,
    `Linear(D + E, E)`. D is the width of the student's block, E that of the teacher's block.

    Args:
        config: Options of the loss.
        backbone: The backbone. It determines D and E.
        latent: Shape of the state.
        condition: Shape of the condition.
        objective: The objective. It interpolates the teacher's input.
    """

    nets: nn.Module

    def __init__(
        self,
        config: SelfAlignmentConfig,
        *,
        backbone: nn.Module,
        latent: LatentSpec,
        condition: ConditionSpec,
        objective: Objective,
    ):
        self.config, self.objective = config, objective
        self.intermediates: Sequence[str] = (f"block.{config.block}",)
        self.of_teacher = f"block.{config.teacher_block}"
        names = (*self.intermediates, self.of_teacher)
        width, out = (intermediate_shape(backbone, name, latent, condition)[1] for name in names)
        head = nn.Sequential(Linear(width, width + out), nn.SiLU(), Linear(width + out, out))
        self.nets = head.to(next(backbone.parameters()).device)

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted loss, and the mean cosine similarity as the part "cosine"."""
        t = forward_pass.times.t
        cleaner = t if t.ndim == 1 else t.amin(dim=1)  # [B]
        state = self.objective.interpolate(clean, forward_pass.noise, cleaner)
        inputs = network_inputs(self.objective, state, Times(cleaner, cleaner))
        with torch.no_grad():
            teacher = nets["ema"](*inputs, forward_pass.condition, intermediates=(self.of_teacher,))
        projected = self.nets(forward_pass.prediction.features[self.intermediates[0]])
        target = teacher.features[self.of_teacher]
        cosine = F.cosine_similarity(projected.float(), target.float(), dim=-1).mean()
        return Losses(self.config.weight * (1 - cosine), {"cosine": cosine.detach()})
