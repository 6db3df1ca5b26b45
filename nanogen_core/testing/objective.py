"""Contract tests for objectives on any path: the true prediction has the lowest loss and leads from noise to data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from nanogen_core.protocols import Objective
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import velocity_field
from nanogen_core.specs import ConditionSpec, LatentSpec
from nanogen_core.tensors import Condition, Losses, Prediction, State, Times, where_null
from nanogen_core.testing.comparison import LATENT, global_rng_untouched, max_difference, random_state
from nanogen_core.testing.oracle import Oracle, condition_of, keep_inputs, solved_prediction, true_velocity

ROWS = 8


class ObjectiveContract:
    """Contract of an objective. The tested networks are oracles (`nanogen_core.testing.oracle`).

    Fixtures:
        objective: The objective, built for the attribute `latent`.

    Attributes:
        latent: Shape of the latents to test with.
        predicts: What the objective's network predicts: "velocity" or "data". With "solved", the contract
            finds it by inverting `velocity` and `network_inputs`. Override `true_prediction` for other predictions.
        steps: Numbers of sampling steps with which the true velocity leads to the data.
        damped_below: Time up to which the objective damps velocities; `denoised` is not tested there.
        tolerance: Largest allowed difference from the exact solution.
    """

    latent: LatentSpec = LATENT
    predicts: Literal["velocity", "data", "solved"] = "velocity"
    steps: Sequence[int] = (1, 3)
    damped_below: float = 0.1
    tolerance: float = 1e-4

    @classmethod
    def parts(cls) -> dict[str, Any]:
        """Return constructor arguments that fit the tested network, by keyword: `latent`, `condition`, `backbone`."""
        width = cls.latent.channels * cls.latent.height * cls.latent.width + cls.latent.cls_token_width
        network = Oracle(lambda state, times, clean: state)
        return {"latent": cls.latent, "condition": ConditionSpec(width=width, length=1), "backbone": network}

    def true_prediction(self, objective: Objective, state: State, times: Times, clean: State) -> State:
        """Return the exact output of the network for its inputs `state` and `times`, which `network_inputs` returned.

        Override it for predictions that `predicts` does not cover.
        """
        if self.predicts == "solved":
            return solved_prediction(objective, *keep_inputs(objective)(state, times), clean)
        return clean if self.predicts == "data" else true_velocity(objective, state, times.t, clean)

    def oracle(self, objective: Objective, *, scale: float = 1.0, offset: Tensor | None = None) -> Oracle:
        """Return a network that predicts `scale` times the truth plus `offset`."""
        if self.predicts == "solved":
            keep_inputs(objective)
        return Oracle(partial(self.true_prediction, objective), scale=scale, offset=offset)

    def nets(self, student: Any) -> Mapping[str, Any]:
        """Return the argument `nets` of `loss`. Override if the objective needs more networks than the student."""
        return {"student": student}

    def clean(self) -> State:
        """Return eight clean states."""
        return random_state(self.latent, ROWS, "clean")

    def noise(self) -> State:
        """Return eight noise states."""
        return random_state(self.latent, ROWS, "noise")

    def between(self, objective: Objective, t: Tensor) -> State:
        """Return the states at t [B] on the paths from the clean states to the noise."""
        return objective.interpolate(self.clean(), self.noise(), t)

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

    def test_path_starts_at_the_data(self, objective: Objective) -> None:
        assert max_difference(self.between(objective, torch.zeros(ROWS)).latent, self.clean().latent) <= 1e-6

    def test_path_is_linear_in_data_and_noise(self, objective: Objective) -> None:
        t, zero = torch.full((ROWS,), 0.6), self.clean().map(torch.zeros_like)
        double = [state.map(lambda x: 2 * x) for state in (self.clean(), self.noise())]
        ends = (double[0], zero), (zero, double[1])
        parts = [objective.interpolate(clean, noise, t).latent / 2 for clean, noise in ends]
        assert max_difference(sum(parts, torch.zeros(())), self.between(objective, t).latent) <= self.tolerance

    def test_path_velocity_is_the_derivative(self, objective: Objective) -> None:
        clean, noise = (state.map(torch.Tensor.double) for state in (self.clean(), self.noise()))
        for t, h in ((0.3, 1e-4), (0.7, 1e-4)):
            at = [torch.full((ROWS,), time, dtype=torch.float64) for time in (t - h, t, t + h)]
            low, _, high = (objective.interpolate(clean, noise, time).latent for time in at)
            velocity = objective.path_velocity(clean, noise, at[1]).latent
            assert max_difference((high - low) / (2 * h), velocity) <= self.tolerance * float(velocity.abs().max())

    def test_velocity_is_that_of_the_path(self, objective: Objective) -> None:
        times = _instant(0.6)
        state = self.between(objective, times.t)
        velocity = self._field(objective)(state, times, condition_of(self.clean())).value
        truth = objective.path_velocity(self.clean(), self.noise(), times.t)
        assert max_difference(velocity.latent, truth.latent) <= self.tolerance * float(truth.latent.abs().max()), (
            f"`velocity` does not return dx/dt of the path. The attribute `predicts` is {self.predicts!r}: if the"
            " network predicts something else, change it, or override `true_prediction`."
        )

    def test_heads_are_converted_to_velocities(self, objective: Objective) -> None:
        times = _instant(0.6)
        state = self.between(objective, times.t)
        value = self.noise()
        answer = objective.velocity(Prediction(value, heads={"base": value}), state, times)
        assert max_difference(answer.heads["base"].latent, answer.value.latent) <= self.tolerance

    def test_step_stays_on_the_path(self, objective: Objective) -> None:
        times = Times(torch.full((ROWS,), 0.8), torch.full((ROWS,), 0.3))
        start = self.between(objective, times.t)
        moved = objective.step(self._field(objective), start, times, condition_of(self.clean()))
        end = self.between(objective, times.r).latent
        assert max_difference(moved.latent, end) <= self.tolerance * max(1, float(end.abs().max()))

    def test_step_of_length_zero_changes_nothing(self, objective: Objective) -> None:
        times = _instant(0.6)
        state = self.between(objective, times.t)
        moved = objective.step(self._field(objective), state, times, condition_of(self.clean()))
        assert max_difference(moved.latent, state.latent) <= 1e-6

    def test_true_velocity_leads_from_noise_to_data(self, objective: Objective) -> None:
        zero, one = self.clean().map(torch.zeros_like), torch.ones(ROWS)
        for steps in self.steps:
            state, grid = objective.interpolate(zero, self.noise(), one), objective.grid(steps).float()
            for t, r in pairwise(grid):
                times = Times(t.expand(ROWS), r.expand(ROWS))
                state = objective.step(self._field(objective), state, times, condition_of(self.clean()))
            assert max_difference(state.latent, self.clean().latent) <= self.tolerance

    def test_step_keeps_float32(self, objective: Objective) -> None:
        times = Times(torch.full((ROWS,), 0.8), torch.full((ROWS,), 0.3))
        moved = objective.step(_coarse, self.between(objective, times.t), times, condition_of(self.clean()))
        assert moved.latent.dtype == torch.float32

    def test_loss_is_a_scalar_with_a_gradient(self, objective: Objective) -> None:
        student = self.oracle(objective, scale=0.5)
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
            "of the wrong sign": self.oracle(objective, scale=-1.0),
            "zero": self.oracle(objective, scale=0.0),
            "half": self.oracle(objective, scale=0.5),
            "too large": self.oracle(objective, scale=1.5),
            "shifted": self.oracle(objective, offset=offset),
        }
        truth = mean(self.oracle(objective))
        assert [name for name, student in others.items() if mean(student) <= truth] == [], (
            "The loss of these predictions is not above that of the true one. The attribute `predicts` is"
            f" {self.predicts!r}: if the network predicts something else, change it, or override `true_prediction`."
        )

    def test_loss_uses_only_its_rng(self, objective: Objective) -> None:
        student = self.oracle(objective, scale=0.5)
        with global_rng_untouched():
            first, again = (self.loss_of(objective, student).total.item() for _ in range(2))
        assert first == again
        assert self.loss_of(objective, student, step=1).total.item() != first

    def test_loss_is_independent_of_the_order(self, objective: Objective) -> None:
        student, order = self.oracle(objective, scale=0.5), [5, 2, 7, 0, 3, 6, 1, 4]
        clean = self.clean().map(lambda x: x[order])
        condition = condition_of(clean)
        other = objective.loss(self.nets(student), clean, condition, _null(condition), KeyedRNG(3, order))
        assert other.total.item() == pytest.approx(self.loss_of(objective, student).total.item(), rel=1e-4)

    def test_loss_accepts_dropped_conditions(self, objective: Objective) -> None:
        condition = condition_of(self.clean())
        for dropped in (torch.arange(ROWS) < 3, torch.ones(ROWS, dtype=torch.bool)):
            rows = where_null(dropped, condition, _null(condition))
            nets = self.nets(self.oracle(objective, scale=0.5))
            assert objective.loss(nets, self.clean(), rows, _null(condition), KeyedRNG(3, range(ROWS))).total.isfinite()

    def test_loss_accepts_a_single_sample(self, objective: Objective) -> None:
        clean = self.clean().map(lambda x: x[:1])
        condition = condition_of(clean)
        nets = self.nets(self.oracle(objective, scale=0.5))
        assert objective.loss(nets, clean, condition, _null(condition), KeyedRNG(3, [0])).total.isfinite()

    def test_forward_pass_is_returned(self, objective: Objective) -> None:
        oracle = self.oracle(objective)

        def student(state: State, times: Times, condition: Condition, intermediates: Sequence[str] = ()) -> Prediction:
            prediction: Prediction = oracle(state, times, condition, ("block.1", *intermediates))
            return prediction

        forward_pass = self.loss_of(objective, student).forward_pass
        if forward_pass is None:
            pytest.skip("the objective returns no forward_pass, so auxiliary losses cannot be combined with it")
        late = (forward_pass.times.t > self.damped_below).reshape(ROWS, -1).all(dim=1)  # of all tokens
        assert late.any()
        assert max_difference(forward_pass.denoised.latent[late], self.clean().latent[late]) <= self.tolerance
        assert "block.1" in forward_pass.prediction.features
        assert forward_pass.denoised.latent.requires_grad
        state = objective.interpolate(self.clean(), forward_pass.noise, forward_pass.times.t)
        assert max_difference(forward_pass.state.latent, state.latent) <= self.tolerance

    def _field(self, objective: Objective) -> Any:
        """Return the velocity function of the oracle."""
        oracle = self.oracle(objective).requires_grad_(False)
        return velocity_field(objective, oracle)


def _instant(t: float) -> Times:
    return Times(torch.full((ROWS,), t), torch.full((ROWS,), t))


def _null(condition: Condition) -> Condition:
    return Condition(torch.zeros_like(condition.tokens))


def _coarse(state: State, times: Times, condition: Condition) -> Prediction:
    """Velocity function of a network that computes in bfloat16."""
    return Prediction(state.map(lambda x: x.bfloat16()))
