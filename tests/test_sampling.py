"""Samplers and guidance against closed forms, on fields that are known exactly."""

import pytest
import torch
import torch.nn.functional as F

from nanogen_core.guidance import ClassifierFree
from nanogen_core.randomness import KeyedRNG
from nanogen_core.sampling import Euler, Heun, intervals, velocity_field
from nanogen_core.settings import ClassifierFreeConfig, SamplerConfig
from nanogen_core.tensors import Condition, Prediction, SharedTimes, State, Times, join_conditions, where_null


class Straight:
    """An objective with a uniform grid and Euler steps, written out."""

    def grid(self, steps):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)

    def step(self, field, state, times, condition):
        velocity = field(state, times, condition).value
        return state.map(lambda x, v: x - (times.t - times.r).reshape(-1, *[1] * (x.ndim - 1)) * v, velocity)


NOISE = State(torch.tensor([[2.0], [-1.0]])[:, :, None, None])
CONDITION = Condition(torch.zeros(2, 1, 3))
RNG = KeyedRNG(0, range(2))


def exponential(state, times, condition):
    """v = x: going from t = 1 to 0 the exact answer is x(0) = x(1) / e."""
    return Prediction(state)


def error(sampler, steps):
    ends = sampler(SamplerConfig()).sample(Straight(), exponential, NOISE, CONDITION, steps, RNG)
    return float((ends.latent - NOISE.latent / torch.e).abs().max())


def test_euler_is_of_first_and_heun_of_second_order():
    assert 1.8 < error(Euler, 20) / error(Euler, 40) < 2.2
    # Heun's last step is Euler's, whose local error is of second order too
    assert 3.5 < error(Heun, 20) / error(Heun, 40) < 4.6


def test_euler_takes_the_product_of_its_steps():
    ends = Euler(SamplerConfig()).sample(Straight(), exponential, NOISE, CONDITION, 4, RNG)
    assert torch.allclose(ends.latent, NOISE.latent * 0.75**4)


def test_a_token_is_sampled_along():
    both = State(NOISE.latent, torch.ones(2, 5))
    ends = Euler(SamplerConfig()).sample(Straight(), exponential, both, CONDITION, 2, RNG)
    assert torch.allclose(ends.cls_token, torch.full((2, 5), 0.25))


class Counted:
    """A field that says what it was asked: the velocity is 1 with a condition and 0 without."""

    def __init__(self):
        self.rows = []

    def __call__(self, state, times, condition):
        self.rows.append(len(state.latent))
        value = condition.tokens[:, :1, :1, None].expand_as(state.latent)
        return Prediction(State(value))


def guided(scale, t_min=0.0, t_max=1.0, steps=10):
    field = Counted()
    guidance = ClassifierFree(ClassifierFreeConfig(scale=scale, t_min=t_min, t_max=t_max))
    condition = Condition(torch.ones(2, 1, 1))
    wrapped = guidance.wrap(field, Condition(torch.zeros(2, 1, 1)))
    ends = Euler(SamplerConfig()).sample(Straight(), wrapped, NOISE, condition, steps, RNG)
    return field, NOISE.latent - ends.latent


def test_guidance_extrapolates_from_the_null_condition():
    _, travelled = guided(3.0)
    assert torch.allclose(travelled, torch.full_like(travelled, 3.0))  # v_u + 3 (v_c - v_u) = 3 for one unit of time


def test_outside_its_interval_the_unconditional_branch_is_not_computed():
    field, travelled = guided(3.0, t_min=0.35, t_max=0.75)
    # starts of steps: 1.0, 0.9 ... 0.1; inside: 0.7, 0.6, 0.5, 0.4
    assert field.rows == [2, 2, 2, 4, 4, 4, 4, 2, 2, 2]
    assert torch.allclose(travelled, torch.full_like(travelled, 0.6 + 0.4 * 3))


def test_the_interval_is_closed():
    field, _ = guided(2.0, t_min=0.5, t_max=0.75, steps=4)  # starts 1.0, 0.75, 0.5, 0.25: exact in binary
    assert field.rows == [2, 4, 4, 2]


@pytest.mark.parametrize("scale", [1.0])
def test_a_scale_of_one_computes_one_branch(scale):
    field, _ = guided(scale)
    assert set(field.rows) == {2}


def test_guidance_of_some_channels_leaves_the_others_and_the_token_s_own():
    """SiT guides three of four channels: the fourth is what the condition alone gives. A token is guided as a whole."""

    def field(state, times, condition):
        value = condition.tokens[:, :1, :1, None]
        return Prediction(State(value.expand_as(state.latent), condition.tokens[:, 0].expand(-1, 5)))

    guidance = ClassifierFree(ClassifierFreeConfig(scale=3.0, channels=3)).with_scale(4.0)
    state = State(torch.zeros(2, 4, 2, 2), torch.zeros(2, 5))
    times = next(intervals(torch.tensor([1.0, 0.0]), state.latent))
    null = Condition(torch.full((2, 1, 1), 0.5))
    value = guidance.wrap(field, null)(state, times, Condition(torch.ones(2, 1, 1))).value
    assert value.latent[:, :, 0, 0].tolist() == [[2.5, 2.5, 2.5, 1.0]] * 2  # 0.5 + 4 (1 - 0.5), and 1
    assert torch.equal(value.cls_token, torch.full((2, 5), 2.5))


def test_guidances_compose_outermost_last():
    double = ClassifierFree(ClassifierFreeConfig(scale=2.0))
    null = Condition(torch.zeros(2, 1, 1))
    field = double.wrap(double.wrap(Counted(), Condition(torch.zeros(4, 1, 1))), null)
    times = next(intervals(torch.tensor([1.0, 0.0]), NOISE.latent))
    assert float(field(NOISE, times, Condition(torch.ones(2, 1, 1))).value.latent[0]) == 4.0


def test_the_field_is_float32_whatever_the_network_gives():
    class Half:
        def velocity(self, prediction, state, times):
            return prediction

    def net(state, times, condition):
        return Prediction(state.map(lambda x: x.bfloat16()))

    times = next(intervals(torch.tensor([1.0, 0.0]), NOISE.latent))
    assert velocity_field(Half(), net)(NOISE, times, CONDITION).value.latent.dtype == torch.float32


def test_the_interval_s_end_is_the_same_number_in_both_precisions():
    field, _ = guided(2.0, t_max=0.8, steps=10)  # 0.8 in float32 is 0.800000012
    assert field.rows == [2, 2, *[4] * 8]


def test_a_mask_survives_beside_a_condition_without_one():
    padded = Condition(torch.zeros(1, 3, 2), torch.tensor([[True, True, False]]))
    whole = Condition(torch.ones(1, 3, 2))
    assert join_conditions(padded, whole).mask.tolist() == [[True, True, False], [True, True, True]]
    assert where_null(torch.tensor([True]), whole, padded).mask.tolist() == [[True, True, False]]
    assert where_null(torch.tensor([False]), whole, padded).mask.tolist() == [[True, True, True]]
    assert join_conditions(whole, whole).mask is None


def test_extras_survive_dropout_and_joins():
    numbers = torch.tensor([[0.5, 0.1, 0.9], [0.75, 0.0, 0.6]])
    condition, null = Condition(torch.ones(2, 1, 3), extras={"own": numbers}), Condition(torch.zeros(2, 1, 3))
    assert torch.equal(where_null(torch.tensor([True, False]), condition, null).extras["own"], numbers)
    both = join_conditions(condition, condition)
    assert torch.equal(both.extras["own"], torch.cat([numbers, numbers]))
    assert join_conditions(null, null).extras == {}
    with pytest.raises(ValueError, match=r"different extras: \['own'\] and \[\]"):
        join_conditions(condition, null)


def test_the_null_branch_of_guidance_has_the_extras_of_the_condition():
    numbers, asked = torch.tensor([[0.5], [0.75]]), []

    def velocity_fn(state, times, condition):
        asked.append(condition)
        return Prediction(state)

    condition, null = Condition(torch.ones(2, 1, 3), extras={"own": numbers}), Condition(torch.zeros(2, 1, 3))
    guided = ClassifierFree(ClassifierFreeConfig(scale=2.0)).wrap(velocity_fn, null)
    guided(State(torch.zeros(2, 1, 2, 2)), Times(torch.ones(2), torch.ones(2)), condition)
    assert torch.equal(asked[0].extras["own"], torch.cat([numbers, numbers]))
    assert asked[0].tokens[2:].abs().max() == 0


def test_the_shorter_of_two_conditions_is_padded():
    long, short = Condition(torch.randn(1, 3, 2)), Condition(torch.randn(1, 1, 2), torch.tensor([[False]]))
    for both in (join_conditions(long, short), join_conditions(short, long)):
        assert both.tokens.shape == (2, 3, 2)
    both = join_conditions(long, short)
    assert both.mask.tolist() == [[True] * 3, [False] * 3]
    assert both.tokens[1].equal(F.pad(short.tokens[0], (0, 0, 0, 2)))
    for dropped, mask in ((False, [True] * 3), (True, [False] * 3)):
        for first, second in ((long, short), (short, long)):
            found = where_null(torch.tensor([dropped]), first, second)
            assert found.tokens.shape == (1, 3, 2)
            assert found.mask.tolist() == [mask if first is long else [not value for value in mask]]


def test_an_inner_guidance_is_told_which_rows_are_unconditional():
    """Equal tokens do not tell it: the condition may be the empty text too."""
    asked = []

    def field(state, times, condition):
        asked.append(condition.null)
        return Prediction(state)

    empty = Condition(torch.zeros(2, 1, 1), torch.zeros(2, 1, dtype=torch.bool))
    outer = ClassifierFree(ClassifierFreeConfig(scale=2.0, t_min=0.5, t_max=1.0)).wrap(field, empty)
    for times in intervals(torch.tensor([1.0, 0.4, 0.0]), NOISE.latent):
        outer(NOISE, times, empty)
    assert asked[0].tolist() == [False, False, True, True]
    assert asked[1] is None


def test_padding_of_no_tokens_makes_masked_ones():
    padded = Condition(torch.ones(2, 0, 3), torch.ones(2, 0, dtype=torch.bool)).padded(4)
    assert padded.tokens.equal(torch.zeros(2, 4, 3))
    assert not padded.mask.any()


def test_a_condition_is_not_cropped_to_a_shorter_length():
    with pytest.raises(ValueError, match="has 3 tokens, which is more than 2"):
        Condition(torch.ones(2, 3, 3)).padded(2)


def test_times_whose_values_change_lose_the_shared_numbers():
    times = SharedTimes.of(torch.full((2,), 0.5), torch.full((2,), 0.25), (0.5, 0.25))
    assert times.map(lambda x: 2 * x).numbers() == (1.0, 0.5)
    assert times._replace(r=times.t).map(torch.Tensor.double).numbers() == (0.5, 0.5)


def test_the_rows_of_guidance_share_the_numbers_of_the_step():
    asked = []

    def field(state, times, condition):
        asked.append(times)
        return Prediction(state)

    guided = ClassifierFree(ClassifierFreeConfig(scale=2.0)).wrap(field, CONDITION)
    for times in intervals(torch.tensor([1.0, 0.0]), NOISE.latent):
        guided(NOISE, times, CONDITION)
    assert asked[0].shared == (1.0, 0.0)
    assert asked[0].t.tolist() == [1.0] * 4
