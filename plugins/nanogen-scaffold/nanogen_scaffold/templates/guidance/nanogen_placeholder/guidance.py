"""Classifier-free guidance (arXiv 2207.12598)."""

from __future__ import annotations

from attrs import evolve
from nanogen_core.guidance import branches
from nanogen_core.protocols import VelocityFn
from nanogen_core.tensors import Condition, Prediction, State, Times

from nanogen_placeholder.config import PlaceholderConfig


class Placeholder:
    """v = v_u + w (v_c - v_u), with the scale w, the conditional velocity v_c and the unconditional v_u."""

    level = 1  # may call the network with several conditions

    def __init__(self, config: PlaceholderConfig):
        self.config = config

    def with_scale(self, scale: float) -> Placeholder:
        """Return this guidance with another scale."""
        return Placeholder(evolve(self.config, scale=float(scale)))

    def wrap(self, velocity_fn: VelocityFn, null: Condition) -> VelocityFn:
        """Return the guided velocity function. Called once per batch: keep values of a batch in the closure."""

        def guided(state: State, times: Times, condition: Condition) -> Prediction:
            if self.config.scale == 1.0:
                return velocity_fn(state, times, condition)
            conditional, unconditional = branches(velocity_fn, state, times, condition, null)
            return Prediction(conditional.map(lambda c, u: u + self.config.scale * (c - u), unconditional))

        return guided
