"""The ordinary stage: a backbone learns to turn noise into the tokenizer's latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import Draws
from nanogen_core.tensors import Batch, Losses, State, where_null
from nanogen_core.training import ema
from nanogen_core.training.diffusion_settings import DiffusionConfig

PHASE = "student"


class Diffusion:
    """Trains `nets["student"]` by the objective; `nets["ema"]` follows it and is what is sampled and saved."""

    phase_names = (PHASE,)

    def __init__(self, config: DiffusionConfig, *, pipeline: Pipeline):
        self.config = config
        self.pipeline = pipeline
        self.nets = nn.ModuleDict({PHASE: pipeline.backbone, "ema": ema.frozen_copy(pipeline.backbone)})

    def phases(self, step: int) -> Sequence[str]:
        """One optimiser moves at every step."""
        return self.phase_names

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        return [(name, tensor) for name, tensor in self.nets[phase].named_parameters() if tensor.requires_grad]

    @torch.no_grad()
    def prepare(self, batch: Batch) -> Batch:
        """The batch with its latents, which are all that the step needs of the images."""
        if batch.latents is not None or batch.images is None:
            return batch
        latents = self.pipeline.tokenizer.encode(batch.images).float()  # [B, C, h, w]
        return batch._replace(latents=latents, images=None)

    def loss(self, phase: str, batch: Batch, rng: Draws) -> Losses:
        """The objective's loss, a part of the samples having lost their condition."""
        assert batch.latents is not None, "prepare() comes before loss()"
        condition = self.pipeline.conditioner.encode(batch)
        null = self.pipeline.conditioner.null(len(batch.indices))
        dropped = rng.uniform("condition.dropout") < self.config.condition_dropout  # [B]
        condition = where_null(dropped, condition, null)
        losses: Losses = self.pipeline.objective.loss(self.nets, State(batch.latents), condition, null, rng)
        return losses

    def after_step(self, step: int) -> None:
        ema.update(self.nets["ema"], self.nets[PHASE], self.config.ema_decay)

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Pictures of the task's own questions, by the averaged weights."""
        questions = self.pipeline.task.questions(count)
        images = self.pipeline.sample(questions, seed=self.pipeline.config.seed, net=self.nets["ema"])
        return images, self.pipeline.task.describe(questions)

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        return {"backbone": self.nets["ema"].state_dict()}

    def finish(self) -> Pipeline:
        """The pipeline with the averaged weights."""
        self.pipeline.backbone.load_state_dict(self.nets["ema"].state_dict())
        return self.pipeline
