"""Contract tests for objectives: velocities point from data to noise, and the true prediction has the lowest loss."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nanogen_core.protocols import Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.specs import LatentSpec
from nanogen_core.tensors import Condition, Losses, Prediction, State, Times, per_sample, where_null
from nanogen_core.testing.comparison import LATENT, global_rng_untouched, max_difference, random_state
from nanogen_core.testing.oracle import Oracle, Predicts, condition_of

ROWS = 8


class ObjectiveContract:
    """Contract of an objective. The tested networks are oracles (`nanogen_core.testing.oracle`).

    Fixtures:
        objective: The objective, built for the attribute `latent`.

    Attributes:
        latent: Shape of the latents to test with.
        predicts: What the objective's network predicts, "velocity" or "data".
        tolerance: Largest allowed difference from the exact solution.
    """

    latent: LatentSpec = LATENT
    predicts: Predicts = "velocity"
    tolerance: float = 1e-4

    def nets(self, student: Any) -> Mapping[str, Any]:
        """Return the argument `nets` of `loss`. Override if the objective needs more networks than the student."""
        return {"student": student}

    def clean(self) -> State:
        """Return eight clean states."""
        return random_state(self.latent, ROWS, "clean")

    def noise(self) -> State:
        """Return eight noise states."""
        return random_state(self.latent, ROWS, "noise")

    def between(self, t: Tensor) -> State:
        """Return x_t = (1 - t) x + t n, the states at t [B] on the straight paths from data x to noise n."""
        return self.clean().map(lambda x, n: (1 - per_sample(t, x)) * x + per_sample(t, x) * n, self.noise())

    def loss_of(self, objective: Objective, student: Any, *, step: int = 0) -> Losses:
        """Return the loss of a student on the eight clean states with the random numbers of `step`."""
        condition = condition_of(self.clean())
        return objective.loss(
            self.nets(student), self.clean(), condition, _null(condition), KeyedRNG(3, range(ROWS), step=step)
        )

    def test_implements_the_protocol(self, objective: Objective) -> None:
        assert isinstance(objective, Objective)

    def test_grid_decreases_from_one_to_zero(self, objective: Objective) -> None:
        for steps in (1, 2, 5):
            grid = objective.grid(steps)
            assert grid.dtype == torch.float64
            assert len(grid) == steps + 1
            assert (float(grid[0]), float(grid[-1])) == (1.0, 0.0)
            assert (grid.diff() < 0).all()

    def test_velocity_points_from_data_to_noise(self, objective: Objective) -> None:
        times = _instant(0.6)
        state = self.between(times.t)
        velocity = self._field(objective)(state, times, condition_of(self.clean())).value
        truth = self.noise().map(torch.sub, self.clean())
        assert max_difference(velocity.latent, truth.latent) <= self.tolerance

    def test_heads_are_converted_to_velocities(self, objective: Objective) -> None:
        times = _instant(0.6)
        state = self.between(times.t)
        value = Oracle(self.predicts)(state, times, condition_of(self.clean())).value
        answer = objective.velocity(Prediction(value, heads={"base": value}), state, times)
        assert max_difference(answer.heads["base"].latent, answer.value.latent) <= self.tolerance

    def test_step_stays_on_the_straight_path(self, objective: Objective) -> None:
        times = Times(torch.full((ROWS,), 0.8), torch.full((ROWS,), 0.3))
        moved = objective.step(self._field(objective), self.between(times.t), times, condition_of(self.clean()))
        assert max_difference(moved.latent, self.between(times.r).latent) <= self.tolerance

    def test_step_of_length_zero_changes_nothing(self, objective: Objective) -> None:
        times = _instant(0.6)
        state = self.between(times.t)
        moved = objective.step(self._field(objective), state, times, condition_of(self.clean()))
        assert max_difference(moved.latent, state.latent) <= 1e-6

    def test_true_velocity_leads_from_noise_to_data(self, objective: Objective) -> None:
        for steps in (1, 3):
            state, grid = self.noise(), objective.grid(steps).float()
            for t, r in pairwise(grid):
                times = Times(t.expand(ROWS), r.expand(ROWS))
                state = objective.step(self._field(objective), state, times, condition_of(self.clean()))
            assert max_difference(state.latent, self.clean().latent) <= self.tolerance

    def test_step_keeps_float32(self, objective: Objective) -> None:
        times = Times(torch.full((ROWS,), 0.8), torch.full((ROWS,), 0.3))
        moved = objective.step(_coarse, self.between(times.t), times, condition_of(self.clean()))
        assert moved.latent.dtype == torch.float32

    def test_loss_is_a_scalar_with_a_gradient(self, objective: Objective) -> None:
        student = Oracle(self.predicts, scale=0.5)
        losses = self.loss_of(objective, student)
        losses.total.backward()  # type: ignore[no-untyped-call]
        assert losses.total.shape == ()
        assert not any(part.requires_grad for part in losses.parts.values())
        assert student.scale.grad is not None
        assert student.scale.grad.isfinite()

    def test_loss_is_lowest_for_the_true_prediction(self, objective: Objective) -> None:
        def mean(student: nn.Module) -> float:
            return sum(self.loss_of(objective, student, step=step).total.item() for step in range(8)) / 8

        offset = KeyedRNG(5, [0]).normal("offset", self.latent.shape)[0]
        others = {
            "of the wrong sign": Oracle(self.predicts, scale=-1.0),
            "zero": Oracle(self.predicts, scale=0.0),
            "half": Oracle(self.predicts, scale=0.5),
            "too large": Oracle(self.predicts, scale=1.5),
            "shifted": Oracle(self.predicts, offset=offset),
        }
        truth = mean(Oracle(self.predicts))
        assert [name for name, student in others.items() if mean(student) <= truth] == []

    def test_loss_uses_only_its_rng(self, objective: Objective) -> None:
        student = Oracle(self.predicts, scale=0.5)
        with global_rng_untouched():
            first, again = (self.loss_of(objective, student).total.item() for _ in range(2))
        assert first == again
        assert self.loss_of(objective, student, step=1).total.item() != first

    def test_loss_is_independent_of_the_order(self, objective: Objective) -> None:
        student, order = Oracle(self.predicts, scale=0.5), [5, 2, 7, 0, 3, 6, 1, 4]
        clean = self.clean().map(lambda x: x[order])
        condition = condition_of(clean)
        other = objective.loss(self.nets(student), clean, condition, _null(condition), KeyedRNG(3, order))
        assert other.total.item() == pytest.approx(self.loss_of(objective, student).total.item(), rel=1e-4)

    def test_loss_accepts_dropped_conditions(self, objective: Objective) -> None:
        condition = condition_of(self.clean())
        for dropped in (torch.arange(ROWS) < 3, torch.ones(ROWS, dtype=torch.bool)):
            rows = where_null(dropped, condition, _null(condition))
            nets = self.nets(Oracle(self.predicts, scale=0.5))
            assert objective.loss(nets, self.clean(), rows, _null(condition), KeyedRNG(3, range(ROWS))).total.isfinite()

    def test_loss_accepts_a_single_sample(self, objective: Objective) -> None:
        clean = self.clean().map(lambda x: x[:1])
        condition = condition_of(clean)
        nets = self.nets(Oracle(self.predicts, scale=0.5))
        assert objective.loss(nets, clean, condition, _null(condition), KeyedRNG(3, [0])).total.isfinite()

    def test_forward_pass_is_returned(self, objective: Objective) -> None:
        forward_pass = self.loss_of(objective, partial(Oracle(self.predicts), intermediates=("block.1",))).forward_pass
        if forward_pass is None:
            pytest.skip("the objective returns no forward_pass, so auxiliary losses cannot be combined with it")
        late = forward_pass.times.t > 0.1  # near the data an objective may damp velocities
        assert max_difference(forward_pass.denoised.latent[late], self.clean().latent[late]) <= self.tolerance
        assert set(forward_pass.prediction.features) == {"block.1"}
        assert forward_pass.denoised.latent.requires_grad

    def _field(self, objective: Objective) -> Any:
        """Return the velocity function of the oracle."""
        oracle = Oracle(self.predicts).requires_grad_(False)
        return lambda state, times, condition: objective.velocity(oracle(state, times, condition), state, times)


def _instant(t: float) -> Times:
    return Times(torch.full((ROWS,), t), torch.full((ROWS,), t))


def _null(condition: Condition) -> Condition:
    return Condition(torch.zeros_like(condition.tokens))


def _coarse(state: State, times: Times, condition: Condition) -> Prediction:
    """Velocity function of a network that computes in bfloat16."""
    return Prediction(state.map(lambda x: x.bfloat16()))
