"""The teacher of consistency distillation: a trained TrigFlow pipeline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nanogen_consistency.trigflow import TrigFlow
from nanogen_core.errors import Incompatible
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, State, Times, per_sample
from nanogen_data.saved_pipelines import load_frozen


class Teacher:
    """A frozen TrigFlow network with classifier-free guidance.

    Args:
        folder: Folder of a run or saved pipeline.
        scale: Guidance scale; 1 means no guidance.

    Raises:
        DataError: The folder has no saved pipeline.
    """

    def __init__(self, folder: str, scale: float):
        self.folder, self.scale = folder, scale
        with torch.random.fork_rng(devices=[]):  # building it must not change the initial weights of the student
            self.pipeline = load_frozen(folder)

    def __deepcopy__(self, memo: dict[int, Any]) -> Teacher:
        return self  # averages of the objective share the teacher

    def check(self, latent: LatentSpec, condition: ConditionSpec, std: float) -> None:
        """Raise Incompatible unless the teacher has the objective TrigFlow, and these latents, conditions and sigma_d.

        Args:
            latent: Shape of the latents.
            condition: Shape of the condition.
            std: sigma_d.
        """
        objective = self.pipeline.objective
        if type(objective) is not TrigFlow:  # the subclass SCM predicts no velocity of the ODE
            name = self.pipeline.config.slots["objective"].name
            raise Incompatible(
                f"objective.teacher: {self.folder} was trained with the objective {name!r}. Use a pipeline that was"
                " trained with 'trigflow'."
            )
        found = (self.pipeline.latent, self.pipeline.conditioner.spec, objective.std)
        if found != (latent, condition, std):
            raise Incompatible(
                f"objective.teacher: the latents, conditions or `data_std` of {self.folder} differ from those of this"
                f" pipeline. Teacher: {found}. This pipeline: {(latent, condition, std)}. Use the same tokenizer,"
                " conditioner and `data_std`."
            )

    @torch.no_grad()
    def velocity(self, state: State, times: Times, condition: Condition, null: Condition) -> Tensor:
        """Return the guided velocity `v_u + scale (v_c - v_u)` [B, C, h, w]; v_u in rows with a null condition."""
        self.pipeline.to(state.latent.device)
        field = velocity_field(self.pipeline.objective, self.pipeline.backbone)
        conditional = field(state, times, condition).value.latent
        if self.scale == 1.0:
            return conditional
        unconditional = field(state, times, null).value.latent
        guided = torch.lerp(unconditional, conditional, self.scale)
        if condition.null is None:
            return guided
        return torch.where(per_sample(condition.null, guided), conditional, guided)
