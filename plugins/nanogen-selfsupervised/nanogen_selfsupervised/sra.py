"""SRA: self-representation alignment (Jiang et al., arXiv 2505.02831)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_align.probe import intermediate_shape
from nanogen_core.errors import Incompatible, TrainingError
from nanogen_core.protocols import Backbone, Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import network_inputs
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Batch, ForwardPass, Losses, State, Times
from nanogen_dit.linear import Linear
from nanogen_samplers.path import path_points
from nanogen_selfsupervised.config import SelfAlignmentConfig
from nanogen_train.protocols import Auxiliary

TEACHER = "ema"


class SelfAlignment(Auxiliary):
    """`weight * distance(projector(output of block), output of the EMA's teacher_block at a smaller time)`.

    The teacher is the EMA. Its time is t - k u with k = `interval` and u uniform in [0, 1], and at least 0.
    Its state is on the same path, with the same data and noise, and its condition is the student's. The teacher runs in
    evaluation mode and without gradient, which costs one forward pass.

    Args:
        config: Options of the loss.
        backbone: The backbone. Its widths determine the widths of the projector.
        latent: Shape of the state.
        condition: Shape of the condition.
        objective: Its path gives the teacher's state.

    Raises:
        Incompatible: The share of noise on the path, s / (a + s), differs from t by more than 0.3.
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
        if not _is_time_of_noise(objective):
            raise Incompatible(
                "auxiliary.sra needs a path x_t = a data + s noise with a share of noise, s / (a + s), close to t. The"
                " path of this objective has another share. Use an objective such as 'flow' or 'trigflow'."
            )
        self.config, self.objective = config, objective
        self.intermediates: Sequence[str] = (f"block.{config.block}",)
        self.teacher_block = f"block.{config.teacher_block}"
        _, width = intermediate_shape(backbone, self.intermediates[0], latent, condition)
        _, out = intermediate_shape(backbone, self.teacher_block, latent, condition)
        project = nn.Sequential(Linear(width, width + out), nn.SiLU(), Linear(width + out, out))
        self.nets = project.to(next(backbone.parameters()).device)

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted distance, and the unweighted one as the part "distance"."""
        projected = self.nets(forward_pass.prediction.features[self.intermediates[0]]).float()  # [B, N, width]
        target = self._target(forward_pass, clean, nets, rng).float()
        distance = self._distance(projected, target)
        return Losses(self.config.weight * distance, {"distance": distance.detach()})

    @torch.no_grad()
    def _target(self, forward_pass: ForwardPass, clean: State, nets: Mapping[str, Backbone], rng: KeyedRNG) -> Tensor:
        if TEACHER not in nets:
            raise TrainingError("auxiliary.sra needs the EMA nets['ema']. Use a stage with it, such as 'diffusion'.")
        times = earlier(forward_pass.times, self.config.interval * rng.uniform("sra.time"))
        state = self.objective.interpolate(clean, forward_pass.noise, times.t)
        inputs = network_inputs(self.objective, state, times)
        prediction = nets[TEACHER](*inputs, forward_pass.condition, intermediates=(self.teacher_block,))
        return prediction.features[self.teacher_block]

    def _distance(self, projected: Tensor, target: Tensor) -> Tensor:
        if self.config.distance == "cosine":
            return 1 - F.cosine_similarity(projected, target, dim=-1).mean()
        return F.smooth_l1_loss(projected, target, beta=self.config.beta)


def _is_time_of_noise(objective: Objective) -> bool:
    """Return whether s / (a + s) differs from t by at most 0.3, for the path x_t = a(t) data + s(t) noise."""
    times = torch.linspace(0, 1, 21)
    points = path_points(objective, times)
    return all(abs(point.s / (point.a + point.s) - t) <= 0.3 for point, t in zip(points, times.tolist(), strict=True))


def earlier(times: Times, by: Tensor) -> Times:
    """Return `times` with t reduced by `by` [B], but not below 0. If r is above the new t, r becomes the new t."""
    t = (times.t - by.reshape(-1, *[1] * (times.t.ndim - 1))).clamp(min=0)
    return Times(t, torch.minimum(times.r, t))
