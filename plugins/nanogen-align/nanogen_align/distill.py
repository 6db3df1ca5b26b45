"""Distillation of the velocity or the features of another pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanogen_align.config import DistillConfig
from nanogen_align.grids import resampled
from nanogen_align.probe import intermediate_shape
from nanogen_core.errors import ConfigError, Incompatible
from nanogen_core.pipeline import Pipeline
from nanogen_core.protocols import Backbone, Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import network_inputs
from nanogen_core.tensors import Batch, Condition, ForwardPass, Losses, Prediction, State, where_null
from nanogen_data import contents
from nanogen_data.saved_pipelines import load_frozen
from nanogen_samplers.path import same_path
from nanogen_train.protocols import Auxiliary

CONDITIONING = ("conditioner", "encoder")  # the parts that decide what condition tokens mean


class Distill(Auxiliary):
    """Distillation: `weight * mean((student - teacher)^2)` at the same noisy state, times and condition.

    Compares velocities or block outputs. A linear map is applied to the student's block output. If the teacher
    predicts no average velocities (flow matching), velocities of a MeanFlow student are compared only where r = t.
    Differences of velocities are divided by sqrt((a'(t)^2 + s'(t)^2) / 2) for the path a(t) data + s(t) noise. The
    divisor is 1 on the straight path.

    Args:
        config: Options of the loss.
        pipeline: The pipeline that is trained.

    Raises:
        ConfigError: `teacher` is missing.
        DataError: `teacher` is not a saved pipeline, or is damaged.
        Incompatible: The teacher's latents, tokenizer, path or classes differ from those of `pipeline`.
    """

    def __init__(self, config: DistillConfig, *, pipeline: Pipeline):
        if not config.teacher:
            raise ConfigError("auxiliary.distill.teacher: set it to the folder of a run or saved pipeline.")
        self.config = config
        self.teacher = load_frozen(config.teacher)
        self._same_condition = _check(self.teacher, pipeline, config.teacher)
        objective = self.teacher.config.slots["objective"].chosen.component
        self._any_interval = "two-time" in objective.needs.get("backbone", frozenset())
        self.intermediates: Sequence[str] = ()
        self._of_teacher: Sequence[str] = ()
        self.nets: nn.Module | None = None
        if config.match == "features":
            self.intermediates = (f"block.{config.block}",)
            self._of_teacher = (f"block.{config.block if config.teacher_block is None else config.teacher_block}",)
            self._count, width = _shape(pipeline, self.intermediates[0])
            _, teacher_width = _shape(self.teacher, self._of_teacher[0])
            self.nets = nn.Linear(width, teacher_width).to(pipeline.device)

    def loss(
        self, forward_pass: ForwardPass, clean: State, batch: Batch, nets: Mapping[str, Backbone], rng: KeyedRNG
    ) -> Losses:
        """Return the weighted distance, and the unweighted one as the part "distance"."""
        prediction = self._predict(forward_pass, batch)
        if self.nets is None:
            distance = self._of_velocities(forward_pass, prediction)
        else:
            target = resampled(prediction.features[self._of_teacher[0]].float(), self._count)
            mapped = self.nets(forward_pass.prediction.features[self.intermediates[0]])
            distance = F.mse_loss(mapped.float(), target)
        return Losses(self.config.weight * distance, {"distance": distance.detach()})

    def _of_velocities(self, forward_pass: ForwardPass, prediction: Prediction) -> Tensor:
        speed = _speed(self.teacher.objective, forward_pass)
        differences = forward_pass.prediction.value.map(
            lambda a, b, c: ((a.float() - b.float()) / c).square(), prediction.value, speed
        )
        errors = differences.latent.flatten(1).mean(dim=1)  # [B]
        if differences.cls_token is not None:
            errors = errors + differences.cls_token.mean(dim=1)
        t, r = forward_pass.times
        return (errors if self._any_interval else torch.where(t == r, errors, 0.0)).mean()

    @torch.no_grad()
    def _predict(self, forward_pass: ForwardPass, batch: Batch) -> Prediction:
        """Return the velocity and block outputs of the teacher."""
        teacher, state, times = self.teacher, forward_pass.state, forward_pass.times
        teacher.backbone.to(state.latent.device)
        condition = self._condition(forward_pass.condition, batch)
        inputs = network_inputs(teacher.objective, state, times)
        prediction = teacher.backbone(*inputs, condition, intermediates=self._of_teacher)
        velocity: Prediction = teacher.objective.velocity(prediction, state, times)
        return velocity._replace(features=prediction.features)

    def _condition(self, given: Condition, batch: Batch) -> Condition:
        """Return the condition of the teacher. It is null in the rows where the student's condition is null."""
        if self._same_condition:
            return given
        encoded: Condition = self.teacher.conditioner.encode(batch)
        if given.null is None:
            return encoded
        return where_null(given.null, encoded, self.teacher.conditioner.null(len(given.null)))


def _check(teacher: Pipeline, pipeline: Pipeline, folder: str) -> bool:
    """Return whether both pipelines have the same condition. Raises Incompatible for other latents or classes."""
    there, here = (contents.configuration(each.config) for each in (teacher, pipeline))
    if teacher.latent != pipeline.latent or there["tokenizer"] != here["tokenizer"]:
        raise Incompatible(
            f"auxiliary.distill.teacher: {folder} has latents of shape {list(teacher.latent.shape)} (tokenizer"
            f" {there['tokenizer']['name']!r}), this pipeline {list(pipeline.latent.shape)} (tokenizer"
            f" {here['tokenizer']['name']!r}). The latents, the class token (REG) and the tokenizer"
            " options must be equal. Train both on the same latents."
        )
    if not same_path(teacher.objective, pipeline.objective):
        raise Incompatible(
            f"auxiliary.distill.teacher: {folder} has another path from data to noise: its objective is"
            f" {there['objective']['name']!r}, that of this pipeline {here['objective']['name']!r}. Use a teacher with"
            " the same path."
        )
    labelled = all("labels" in each.config.slots["task"].chosen.component.provides for each in (teacher, pipeline))
    if labelled and list(teacher.parts["classes"]) != list(pipeline.parts["classes"]):
        raise Incompatible(
            f"auxiliary.distill.teacher: {folder} has other classes than this pipeline, or another order of them. Use a"
            " teacher with the same classes in the same order."
        )
    same = all(there.get(kind) == here.get(kind) for kind in CONDITIONING)
    return same and not any(_state(each.conditioner) for each in (teacher, pipeline))


def _speed(objective: Objective, forward_pass: ForwardPass) -> State:
    """Return sqrt((a'(t)^2 + s'(t)^2) / 2) [B, 1, 1, 1] of each sample. It is 1 on the straight path."""
    one, zero = (
        forward_pass.state.map(lambda x, fill=fill: x.new_full((len(x), *[1] * (x.ndim - 1)), fill))
        for fill in (1.0, 0.0)
    )
    of_data, of_noise = (objective.path_velocity(*ends, forward_pass.times.t) for ends in ((one, zero), (zero, one)))
    return of_data.map(lambda a, s: ((a.square() + s.square()) / 2).sqrt(), of_noise)


def _state(part: Any) -> Mapping[str, Tensor]:
    return part.state_dict() if isinstance(part, nn.Module) else {}


def _shape(pipeline: Pipeline, name: str) -> tuple[int, int]:
    return intermediate_shape(pipeline.backbone, name, pipeline.latent, pipeline.conditioner.spec)
