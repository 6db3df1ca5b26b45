"""Objectives that are wrong in one way, and the test of the contract that says so."""

import pytest
import torch
from contracts import failures

from nanogen_core.tensors import Condition, Losses, Prediction, State, Times
from nanogen_core.testing import ObjectiveContract
from nanogen_data.testing.fakes import TinyFlow, TinyFlowConfig


class WrongSign(TinyFlow):
    """Steps away from the data."""

    def step(self, field, state, times, condition):
        return super().step(field, state, Times(times.r, times.t), condition)


class OppositeVelocity(TinyFlow):
    def velocity(self, prediction, state, times):
        return Prediction(
            prediction.value.map(torch.neg), heads={k: v.map(torch.neg) for k, v in prediction.heads.items()}
        )


class OppositeTarget(TinyFlow):
    """Trains towards data - noise."""

    def loss(self, nets, clean, condition, null, rng):
        class Mirrored(torch.nn.Module):
            def forward(self, *inputs):
                return Prediction(nets["student"](*inputs).value.map(torch.neg))

        return super().loss({"student": Mirrored()}, clean, condition, null, rng)


class ForgetsHeads(TinyFlow):
    def velocity(self, prediction, state, times):
        return Prediction(prediction.value)


class RisingGrid(TinyFlow):
    def grid(self, steps):
        return super().grid(steps).flip(0)


class SingleGrid(TinyFlow):
    def grid(self, steps):
        return super().grid(steps).float()


class ShortStep(TinyFlow):
    """Goes a fixed way whatever the interval."""

    def step(self, field, state, times, condition):
        return super().step(field, state, Times(times.t, times.t - 0.1), condition)


class HalfState(TinyFlow):
    def step(self, field, state, times, condition):
        return super().step(field, state, times, condition).map(lambda x: x.bfloat16())


class GlobalNoise(TinyFlow):
    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        return losses._replace(total=losses.total + 0.01 * torch.rand(()))


class SlotBlind(TinyFlow):
    """Takes its numbers by the place in the batch, not by the slot."""

    def loss(self, nets, clean, condition, null, rng):
        rng.slots = tuple(range(len(rng.slots)))
        return super().loss(nets, clean, condition, null, rng)


class Vector(TinyFlow):
    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        return Losses(losses.total.expand(2), losses.parts)


class AttachedParts(TinyFlow):
    def loss(self, nets, clean, condition, null, rng):
        total = super().loss(nets, clean, condition, null, rng).total
        return Losses(total, {"velocity": total})


class NeedsEveryLabel(TinyFlow):
    """Divides by the number of labelled samples."""

    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        kept = 1.0 if condition.null is None else (~condition.null).float().mean()
        return Losses(losses.total / kept, losses.parts)


class NeedsTwo(TinyFlow):
    """Takes a mean over the other samples."""

    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        return Losses(losses.total / (len(clean.latent) - 1), losses.parts)


class Fixed(TinyFlow):
    """The same numbers at every step."""

    def loss(self, nets, clean, condition, null, rng):
        rng.step = 0
        return super().loss(nets, clean, condition, null, rng)


class WrongGuess(TinyFlow):
    """Shows the noise that the prediction points to."""

    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        return losses._replace(forward_pass=losses.forward_pass._replace(denoised=losses.forward_pass.state))


class ForgetsFeatures(TinyFlow):
    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        bare = Prediction(losses.forward_pass.prediction.value)
        return losses._replace(forward_pass=losses.forward_pass._replace(prediction=bare))


class BentPath(TinyFlow):
    """A path that is not linear in the data."""

    def interpolate(self, clean, noise, t):
        return super().interpolate(clean.map(torch.tanh), noise, t)


class WrongSlope(TinyFlow):
    def path_velocity(self, clean, noise, t):
        return super().path_velocity(clean, noise, t).map(lambda v: 1.01 * v)


class OtherNoise(TinyFlow):
    """Shows other noise than that of the state."""

    def loss(self, nets, clean, condition, null, rng):
        losses = super().loss(nets, clean, condition, null, rng)
        return losses._replace(forward_pass=losses.forward_pass._replace(noise=clean))


BROKEN = {
    BentPath: {"path_starts_at_the_data", "path_is_linear_in_data_and_noise"},
    WrongSlope: {"path_velocity_is_the_derivative"},
    OtherNoise: {"forward_pass_is_returned"},
    WrongGuess: {"forward_pass_is_returned"},
    ForgetsFeatures: {"forward_pass_is_returned"},
    WrongSign: {"step_stays_on_the_path", "true_velocity_leads_from_noise_to_data"},
    OppositeVelocity: {
        "velocity_is_that_of_the_path",
        "step_stays_on_the_path",
        "true_velocity_leads_from_noise_to_data",
    },
    OppositeTarget: {"loss_is_lowest_for_the_true_prediction"},
    ForgetsHeads: {"heads_are_converted_to_velocities"},
    RisingGrid: {"grid_decreases_from_one_to_zero", "true_velocity_leads_from_noise_to_data"},
    SingleGrid: {"grid_decreases_from_one_to_zero"},
    ShortStep: {
        "step_stays_on_the_path",
        "step_of_length_zero_changes_nothing",
        "true_velocity_leads_from_noise_to_data",
    },
    GlobalNoise: {"loss_uses_only_its_rng", "loss_is_independent_of_the_order"},
    SlotBlind: {"loss_is_independent_of_the_order"},
    Vector: {"loss_is_a_scalar_with_a_gradient"},
    AttachedParts: {"loss_is_a_scalar_with_a_gradient"},
    NeedsEveryLabel: {"loss_accepts_dropped_conditions"},
    NeedsTwo: {"loss_accepts_a_single_sample"},
    Fixed: {"loss_uses_only_its_rng"},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_objective_is_caught(broken):
    assert failures(ObjectiveContract, objective=broken(TinyFlowConfig())) >= BROKEN[broken]


def test_a_state_in_bf16_is_caught():
    found = failures(ObjectiveContract, objective=HalfState(TinyFlowConfig()))
    assert "step_keeps_float32" in found


def test_the_healthy_objective_holds():
    assert failures(ObjectiveContract, objective=TinyFlow(TinyFlowConfig())) == set()


class Scaled(TinyFlow):
    """The network receives half of the state, and predicts a third of the velocity less the state."""

    def network_inputs(self, state, times):
        return state.map(lambda x: x / 2), times

    def velocity(self, prediction, state, times):
        def convert(head):
            return head.map(lambda p, x: 3 * p + x, state)

        return Prediction(convert(prediction.value), prediction.features, {
            name: convert(head) for name, head in prediction.heads.items()
        })  # fmt: skip

    def loss(self, nets, clean, condition, null, rng):
        def student(state, times, condition):
            return self.velocity(nets["student"](*self.network_inputs(state, times), condition), state, times)

        return super().loss({"student": student}, clean, condition, null, rng)


class ScaledTwice(Scaled):
    """Trains towards twice the velocity that `velocity` returns."""

    def loss(self, nets, clean, condition, null, rng):
        def student(*inputs):
            prediction = nets["student"](*inputs)
            return prediction._replace(value=prediction.value.map(lambda p: p / 2))

        return super().loss({"student": student}, clean, condition, null, rng)


class Solved(ObjectiveContract):
    predicts = "solved"


def test_any_affine_prediction_is_solved():
    assert not failures(Solved, objective=Scaled(TinyFlowConfig()))
    assert "velocity_is_that_of_the_path" in failures(ObjectiveContract, objective=Scaled(TinyFlowConfig()))


def test_a_loss_that_contradicts_velocity_is_caught():
    found = failures(Solved, objective=ScaledTwice(TinyFlowConfig()))
    assert {"loss_is_lowest_for_the_true_prediction", "forward_pass_is_returned"} <= found
    assert "loss_is_lowest_for_the_true_prediction" in failures(Solved, objective=OppositeTarget(TinyFlowConfig()))


def test_parts_fit_the_tested_network():
    parts = ObjectiveContract.parts()
    latent = parts["latent"]
    inputs = State(torch.zeros(2, *latent.shape)), Times(torch.ones(2), torch.ones(2))
    tokens = Condition(torch.zeros(2, parts["condition"].length, parts["condition"].width))
    prediction = parts["backbone"](*inputs, tokens, intermediates=("block.1",))
    assert prediction.features["block.1"].shape == (2, latent.height * latent.width, latent.channels)
