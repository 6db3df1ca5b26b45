"""The stage `drifting`: trains a one-step generator (Deng et al., arXiv 2602.04770)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nanogen_core.errors import DataError, Incompatible
from nanogen_core.pipeline import Pipeline
from nanogen_core.randomness import KeyedRNG
from nanogen_core.tensors import Batch, Condition, Losses, State
from nanogen_drifting.bank import Bank
from nanogen_drifting.config import DriftingConfig
from nanogen_drifting.features import EncoderFeatures, Features, combined, in_rows, of_latents, repeated
from nanogen_drifting.field import Group, drift_loss
from nanogen_drifting.objective import OneStep
from nanogen_meanflow.cfg_conditioned import sample_scales
from nanogen_meanflow.inputs import set_guidance
from nanogen_train.distributed import processes
from nanogen_train.stages.diffusion import PHASE, Diffusion
from nanogen_train.stages.diffusion_settings import DiffusionConfig

BANK, QUEUE = "bank", "queue"


class Real(NamedTuple):
    """K real latents for each of B conditions, with their weights."""

    latents: Tensor  # [B, K, C, h, w]
    weights: Tensor  # [B, K]


class Drifting(Diffusion):
    """Trains a generator f, `nets["student"]`, so that its samples follow a drifting field.

    For each condition c of the batch and a random guidance scale alpha it generates G samples `x = f(noise, c, alpha)`.
    The loss is

        `L = sum over features phi of E |phi(x) - sg(phi(x) + V(phi(x)))|^2`

    V (`field.drift_loss`) attracts each sample to P real samples of c, and repels it from the other generated samples
    and from U real samples of any condition. These U samples have the weight `(alpha - 1) (G - 1) / U`, so that at
    equilibrium f has the distribution `alpha p(x | c) - (alpha - 1) p(x)`: guidance is trained, and sampling takes
    one evaluation.

    The first positive is the training example of c. Other real samples come from memory: `nets["queue"]` has the latest
    of all, and, if grouped by label, `nets["bank"]` the latest of each label. The batch is added after the step, so the
    loss depends on earlier batches. With `group_by: condition` the other positives are the samples in the queue with
    the most similar condition.

    Args:
        config: Options of the stage.
        pipeline: The pipeline to train. Its objective must be `one-step`.

    Raises:
        Incompatible: `group_by` is "label", but the dataset has no labels.
    """

    def __init__(self, config: DriftingConfig, *, pipeline: Pipeline):
        averaging = DiffusionConfig(
            ema_decay=config.ema_decay, condition_dropout=0.0, ema_snapshots=config.ema_snapshots
        )
        super().__init__(averaging, pipeline=pipeline, auxiliaries={})
        self.drifting = config
        self.objective: OneStep = pipeline.objective
        self.features = _features(config, pipeline)
        self._by_label = _by_label(config, pipeline)
        shape, width = pipeline.latent.shape, pipeline.conditioner.spec.width
        device = pipeline.device
        if self._by_label:
            self.nets[BANK] = Bank(len(pipeline.parts["classes"]), config.bank_size, shape).to(device)
        self.nets[QUEUE] = Bank(1, config.queue_size, shape, 0 if self._by_label else width).to(device)
        self._pending: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}  # the micro-batches of this step

    # -- the loss ----------------------------------------------------------------------------------------------------

    def loss(self, phase: str, batch: Batch, rng: KeyedRNG) -> Losses:
        """Return the drifting loss, summed over the features, and the mean size of the drift as the part "drift"."""
        assert batch.latents is not None, "prepare() comes before loss()"
        condition = self._condition(batch)
        groups = self._groups(batch, condition)
        self._pending[rng.slots] = (batch.latents, groups)
        scales = sample_scales(rng.uniform("drifting.scale"), self.drifting.scale_max, self.drifting.scale_power)
        positives = self._positives(batch.latents, groups, rng)
        negatives = self._negatives(batch.latents, scales, rng)
        return self._drift(self._generated(condition, scales, rng), positives, negatives)

    def _groups(self, batch: Batch, condition: Condition) -> Tensor:
        """Return what groups the samples: labels [B], or the direction of each condition [B, D]."""
        if not self._by_label:
            return F.normalize(_mean_token(condition).detach().float(), dim=1)
        if batch.labels is None:
            raise DataError(
                "stage.group_by: grouping by label needs labels, but the batch has none. Set"
                " `stage.group_by: condition`."
            )
        return batch.labels

    def _generated(self, condition: Condition, scales: Tensor, rng: KeyedRNG) -> Tensor:
        """Return G samples for each row, [B * G, C, h, w]."""
        count = self.drifting.generated
        guidance = torch.stack([1 - 1 / scales, torch.zeros_like(scales), torch.ones_like(scales)], dim=1)
        rows = set_guidance(condition, guidance).map(lambda value: value.repeat_interleave(count, dim=0))
        noise = rng.normal("drifting.noise", (count, *self.pipeline.latent.shape)).flatten(0, 1)
        prediction, _ = self.objective.generate(self.nets[PHASE], State(noise), rows)
        return prediction.value.latent.float()

    def _positives(self, own: Tensor, groups: Tensor, rng: KeyedRNG) -> Real:
        """Return the positives of each row: its own latent, then latents from memory."""
        count = self.drifting.positives - 1
        if self._by_label:
            bank = self._memory(BANK)
            indices = bank.draw(groups, rng.uniform("drifting.positives", (bank.size,)), count)
            latents, weights = bank.take(groups, indices, own), torch.ones_like(indices, dtype=torch.float32)
        else:
            queue = self._memory(QUEUE)
            similarity = groups @ queue.keys[0].T  # [B, size]
            indices = queue.draw(_zeros(groups), -similarity, count)  # the most similar
            latents = queue.take(_zeros(groups), indices, own)
            weights = ((similarity.gather(1, indices) - 1) / self.drifting.condition_temperature).exp()
        return Real(torch.cat([own[:, None], latents], dim=1), F.pad(weights, (1, 0), value=1.0))

    def _memory(self, name: str) -> Bank:
        found = self.nets[name]
        assert isinstance(found, Bank)
        return found

    def _negatives(self, own: Tensor, scales: Tensor, rng: KeyedRNG) -> Real:
        """Return the unconditional negatives of each row from memory, with the weights of its guidance scale [B]."""
        queue = self._memory(QUEUE)
        count, priority = self.drifting.unconditional, rng.uniform("drifting.negatives", (queue.size,))
        weights = (scales - 1) * (self.drifting.generated - 1) / count
        indices = queue.draw(_zeros(scales), priority, count)
        return Real(queue.take(_zeros(scales), indices, own), weights[:, None].expand(-1, count))

    def _drift(self, generated: Tensor, positives: Real, negatives: Real) -> Losses:
        rows, count = len(positives.latents), positives.latents.shape[1]
        with torch.no_grad():
            known = self.features(torch.cat([positives.latents, negatives.latents], dim=1).flatten(0, 1))
        drifts = []
        for name, vectors in self.features(generated).items():
            real, locations = in_rows(known[name], rows), vectors.shape[1]
            weights = repeated(positives.weights, locations), repeated(negatives.weights, locations)
            group = Group(in_rows(vectors, rows), real[:, :count], real[:, count:], *weights)
            drifts.append(drift_loss(group, self.drifting.temperatures))
        losses, sizes = (torch.stack(values) for values in zip(*drifts, strict=True))
        return Losses(losses.sum(), {"drift": sizes.mean()})

    # -- after a step ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Update the EMA, and add the batches of all processes to memory."""
        super().after_step(step)
        parts = [self._pending[slots] for slots in sorted(self._pending)]
        self._pending = {}
        if not parts:
            return
        latents, groups = (processes.gather_rows(torch.cat(values)) for values in zip(*parts, strict=True))
        if self._by_label:
            self._memory(BANK).push(latents, groups)
        self._memory(QUEUE).push(latents, _zeros(groups), None if self._by_label else groups)


def _features(config: DriftingConfig, pipeline: Pipeline) -> Features:
    of_encoder = [] if config.features is None else [EncoderFeatures(config.features, pipeline.tokenizer)]
    return combined([*([of_latents] if config.latent_features else []), *of_encoder])


def _by_label(config: DriftingConfig, pipeline: Pipeline) -> bool:
    classes, spec = pipeline.parts["classes"], pipeline.conditioner.spec
    if config.group_by == "label" and not classes:
        raise Incompatible(
            "`stage.group_by: label` needs labels, but the dataset has none. Set `stage.group_by: condition`."
        )
    return config.group_by == "label" or (config.group_by == "auto" and bool(classes) and not spec.padded)


def _mean_token(condition: Condition) -> Tensor:
    """Return the mean of the unmasked tokens of each row, [B, D]; zero for a row without any."""
    if condition.mask is None:
        return condition.tokens.mean(dim=1)
    mask = condition.mask[..., None]
    return torch.where(mask, condition.tokens, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def _zeros(groups: Tensor) -> Tensor:
    return torch.zeros(len(groups), dtype=torch.int64, device=groups.device)
