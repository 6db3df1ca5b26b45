"""Contract tests for guidances."""

from __future__ import annotations

from typing import Any

import torch

from nanogen_core.protocols import Guidance
from nanogen_core.tensors import Condition, Prediction, SharedTimes, State, Times
from nanogen_core.testing.comparison import LATENT, global_rng_untouched, max_difference, random_state

ROWS = 3


class GuidanceContract:
    """Contract of a guidance. The wrapped velocity depends on the state and the condition.

    Fixtures:
        guidance: The guidance, with a scale that has an effect.

    Attributes:
        t: Time at which the guidance has an effect.
    """

    t: float = 0.6

    def velocity_fn(self, state: State, times: Times, condition: Condition) -> Prediction:
        """Return test velocities, and an internal head. Override it if the guidance needs something else."""
        shift = condition.tokens.mean(dim=(1, 2))[:, None, None, None]
        value = state.map(lambda x: torch.sin(x + shift) if x.ndim == 4 else x + shift[:, 0, 0])
        return Prediction(value, heads={"internal": value.map(lambda v: 0.5 * v)})

    def guided(self, guidance: Guidance, rows: slice = slice(0, ROWS)) -> State:
        """Return the guided velocities of three samples, or of the selected rows."""
        state = random_state(LATENT, ROWS).map(lambda x: x[rows])
        t = torch.full((len(state.latent),), self.t)
        condition, null = (Condition(tokens[rows]) for tokens in (torch.ones(ROWS, 1, 4), torch.zeros(ROWS, 1, 4)))
        velocity_fn = guidance.wrap(self.velocity_fn, null)
        return velocity_fn(state, SharedTimes.of(t, t, (self.t, self.t)), condition).value

    def test_has_a_level(self, guidance: Guidance) -> None:
        assert isinstance(guidance.level, int)

    def test_velocities_keep_their_shape(self, guidance: Guidance) -> None:
        velocity = self.guided(guidance).latent
        assert velocity.shape == (ROWS, *LATENT.shape)
        assert velocity.isfinite().all()

    def test_guidance_has_an_effect(self, guidance: Guidance) -> None:
        plain = self.velocity_fn(random_state(LATENT, ROWS), _times(self.t), Condition(torch.ones(ROWS, 1, 4)))
        assert max_difference(self.guided(guidance).latent, plain.value.latent) > 1e-4

    def test_samples_are_independent_and_use_no_global_random_numbers(self, guidance: Guidance) -> None:
        with global_rng_untouched():
            whole, part = self.guided(guidance).latent, self.guided(guidance, slice(1, 2)).latent
        assert max_difference(whole[1:2], part) <= 1e-5

    def test_scale_one_is_no_guidance(self, guidance: Any) -> None:
        if callable(getattr(guidance, "with_scale", None)):
            plain = self.velocity_fn(random_state(LATENT, ROWS), _times(self.t), Condition(torch.ones(ROWS, 1, 4)))
            assert max_difference(self.guided(guidance.with_scale(1.0)).latent, plain.value.latent) <= 1e-5


def _times(t: float) -> Times:
    return Times(torch.full((ROWS,), t), torch.full((ROWS,), t))
