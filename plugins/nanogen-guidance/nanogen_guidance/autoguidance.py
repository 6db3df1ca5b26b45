"""Autoguidance: guidance by a weaker model with the same condition."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

from attrs import evolve

from nanogen_core.protocols import Objective, VelocityFn
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Prediction, State, Times
from nanogen_guidance.config import AutoGuidanceConfig
from nanogen_guidance.weak import Parts, WeakModel


class AutoGuidance:
    """Autoguidance (Karras et al., arXiv 2406.02507): v = v_weak + w (v - v_weak) for the same condition.

    v is the velocity of the guided model, and v_weak that of a smaller or less trained model with its own objective.
    Velocities and predicted data of one path are related by a linear map, so this is the paper's equation for
    denoisers. Guidance applies to each evaluation at a time t with t_min <= t <= t_max. For w = 1, the result
    is v, and the weaker model is not evaluated.

    Together with `cfg`, autoguidance applies to the conditional and the unconditional branch of `cfg`. The paper uses
    autoguidance alone.

    Args:
        config: Folder of the weaker model, scale and interval.
        objective, latent, condition, classes, tokenizer, conditioner, encoder: Parts of the guided pipeline. The
            weaker pipeline must match them.
    """

    level = 0

    def __init__(
        self,
        config: AutoGuidanceConfig,
        *,
        objective: Objective,
        latent: LatentSpec,
        condition: ConditionSpec,
        classes: Sequence[str],
        tokenizer: Any,
        conditioner: Any,
        encoder: Any = None,
    ):
        self.config = config
        self._weak = WeakModel(
            config.pipeline,
            Parts(
                objective=objective,
                latent=latent,
                condition=condition,
                classes=classes,
                tokenizer=tokenizer,
                conditioner=conditioner,
                encoder=encoder,
            ),
        )

    def files(self) -> list[Path]:
        """Return the files of the weaker model, for the fingerprint of scores. Raises DataError if there are none."""
        return self._weak.files()

    def with_scale(self, scale: float) -> AutoGuidance:
        """Return this guidance with another scale w and the same weaker model."""
        found = copy(self)
        found.config = evolve(self.config, scale=float(scale))
        return found

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function. Calls with guidance also evaluate the weaker model. `null` is unused."""

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            prediction = velocity_fn(state, times, condition)
            scale = self.config.scale
            if scale == 1.0 or not times.start_in(self.config.t_min, self.config.t_max):
                return prediction
            weak = self._weak.velocity_fn(state.latent.device)(state, times, condition).value
            return prediction._replace(value=weak.map(lambda u, v: u + scale * (v - u), prediction.value))

        return guided
