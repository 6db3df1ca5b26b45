"""A training stage: the objective's loss, and an exponential moving average (EMA) of the backbone's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from nanogen_core.errors import NanoGenError
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Losses, State, where_null
from torch import Tensor, nn

from nanogen_placeholder.config import PlaceholderConfig

PHASE = "student"


class Placeholder:
    """A stage with one phase. `nets` contains all networks that a checkpoint stores.

    Args:
        config: Options.
        pipeline: The pipeline to train.
        auxiliaries: Must be empty: this stage computes no auxiliary losses.
    """

    phase_names: Sequence[str] = (PHASE,)

    def __init__(
        self,
        config: PlaceholderConfig,
        *,
        pipeline: Pipeline,
        auxiliaries: Mapping[str, Any],
    ):
        if auxiliaries:
            names = ", ".join(auxiliaries)
            raise NanoGenError(f"The stage 'placeholder' has no auxiliary losses: remove {names}.")
        self.config, self.pipeline = config, pipeline
        average = deepcopy(pipeline.backbone).eval().requires_grad_(False)
        self.nets = nn.ModuleDict({PHASE: pipeline.backbone, "ema": average})

    def parameters_of(self, phase: str) -> Sequence[tuple[str, nn.Parameter]]:
        """Return the names and parameters that a phase trains."""
        return [(name, p) for name, p in self.nets[PHASE].named_parameters() if p.requires_grad]

    def phases(self, step: int) -> Sequence[str]:
        """Return the phases that update at a step."""
        return self.phase_names

    @torch.no_grad()
    def prepare(self, batch: Batch, step: int | None) -> Batch:
        """Replace the images by latents."""
        if batch.latents is not None or batch.images is None:
            return batch
        return batch._replace(latents=self.pipeline.tokenizer.encode(batch.images).float(), images=None)

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the loss of the objective. With probability `condition_dropout` a sample gets the null condition."""
        assert batch.latents is not None
        conditioner = self.pipeline.conditioner
        null = conditioner.null(len(batch.indices))
        condition = conditioner.encode(batch) if batch.condition is None else batch.condition
        dropped = rng.uniform("condition.dropout") < self.config.condition_dropout  # [B]
        condition = where_null(dropped, condition, null)
        losses: Losses = self.pipeline.objective.loss(self.nets, State(batch.latents), condition, null, rng)
        return losses

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Update the EMA."""
        for average, value in zip(self.nets["ema"].parameters(), self.nets[PHASE].parameters(), strict=True):
            average.lerp_(value, 1 - self.config.ema_decay)
        for buffer, source in zip(self.nets["ema"].buffers(), self.nets[PHASE].buffers(), strict=True):
            buffer.copy_(source)

    def samples(self, count: int) -> tuple[Tensor, Sequence[str]]:
        """Draw samples with the EMA weights: images [count, 3, H, W] in [-1, 1] and their captions."""
        requests = self.pipeline.task.eval_batch(count)
        images = self.averaged().sample(requests, seed=self.pipeline.config.seed)
        return images.cpu(), self.pipeline.task.captions(requests)

    def averaged(self) -> Pipeline:
        """Return the pipeline with the EMA weights."""
        return self.pipeline.with_parts(backbone=self.nets["ema"])

    def weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the weights to save, by part."""
        return {"backbone": self.nets["ema"].state_dict()}

    def finish(self) -> Pipeline:
        """Return the pipeline with the EMA weights, after the last step."""
        self.pipeline.backbone.load_state_dict(self.nets["ema"].state_dict())
        return self.pipeline
