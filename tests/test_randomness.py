"""Keyed random numbers: the same for the same key, whatever else is drawn."""

import torch

from nanogen_core.randomness import Draws, key


def test_a_slot_draws_the_same_in_any_batch():
    whole = Draws(3, range(8), step=5).normal("noise", (2, 3))
    parts = [Draws(3, [slot], step=5).normal("noise", (2, 3)) for slot in range(8)]
    assert torch.equal(whole, torch.cat(parts))


def test_order_and_other_purposes_change_nothing():
    first, second = Draws(0, [1, 2]), Draws(0, [1, 2])
    second.uniform("times")
    torch.manual_seed(9)
    assert torch.equal(first.normal("noise", (4,)), second.normal("noise", (4,)))


def test_seed_step_purpose_and_slot_all_matter():
    base = Draws(0, [0], step=0).normal("noise", (16,))
    others = [
        Draws(1, [0], step=0).normal("noise", (16,)),
        Draws(0, [0], step=1).normal("noise", (16,)),
        Draws(0, [0], step=0).normal("time", (16,)),
        Draws(0, [1], step=0).normal("noise", (16,)),
    ]
    assert all((base - other).abs().max() > 0.1 for other in others)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    Draws(0, range(4)).normal("noise", (8,))
    Draws(0, range(4)).shared_uniform("coin")
    assert torch.equal(before, torch.get_rng_state())


def test_numbers_are_normal_uniform_and_uncorrelated_between_slots():
    draws = Draws(7, range(512))
    normal, uniform = draws.normal("n", (64,)), draws.uniform("u", (64,))
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    neighbours = (normal[:-1] * normal[1:]).mean()  # 32,704 products of independent numbers: std 0.0055
    assert abs(float(neighbours)) < 0.025


def test_a_shared_draw_is_one_for_all_slots():
    assert Draws(0, [0, 1], step=3).shared_uniform("coin") == Draws(0, [5], step=3).shared_uniform("coin")


def test_keys_tell_word_boundaries_apart():
    assert key("ab", "c") != key("a", "bc")
