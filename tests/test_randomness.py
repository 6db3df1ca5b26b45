"""Keyed random numbers: the same for the same key, whatever else is drawn."""

import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from nanogen_core.randomness import KeyedRNG, key, splitmix


def test_a_slot_draws_the_same_in_any_batch():
    whole = KeyedRNG(3, range(8), step=5).normal("noise", (2, 3))
    parts = [KeyedRNG(3, [slot], step=5).normal("noise", (2, 3)) for slot in range(8)]
    assert torch.equal(whole, torch.cat(parts))


def test_order_and_other_purposes_change_nothing():
    first, second = KeyedRNG(0, [1, 2]), KeyedRNG(0, [1, 2])
    second.uniform("times")
    torch.manual_seed(9)
    assert torch.equal(first.normal("noise", (4,)), second.normal("noise", (4,)))


def test_seed_step_purpose_and_slot_all_matter():
    base = KeyedRNG(0, [0], step=0).normal("noise", (16,))
    others = [
        KeyedRNG(1, [0], step=0).normal("noise", (16,)),
        KeyedRNG(0, [0], step=1).normal("noise", (16,)),
        KeyedRNG(0, [0], step=0).normal("time", (16,)),
        KeyedRNG(0, [1], step=0).normal("noise", (16,)),
    ]
    assert all((base - other).abs().max() > 0.1 for other in others)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    KeyedRNG(0, range(4)).normal("noise", (8,))
    KeyedRNG(0, range(4)).shared_uniform("coin")
    assert torch.equal(before, torch.get_rng_state())


def test_numbers_are_normal_uniform_and_uncorrelated_between_slots():
    draws = KeyedRNG(7, range(512))
    normal, uniform = draws.normal("n", (64,)), draws.uniform("u", (64,))
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    neighbours = (normal[:-1] * normal[1:]).mean()  # 32,704 products of independent numbers: std 0.0055
    assert abs(float(neighbours)) < 0.025


def test_a_shared_draw_is_one_for_all_slots():
    assert KeyedRNG(0, [0, 1], step=3).shared_uniform("coin") == KeyedRNG(0, [5], step=3).shared_uniform("coin")


def test_keys_tell_word_boundaries_apart():
    assert key("ab", "c") != key("a", "bc")


def test_splitmix_gives_the_published_outputs():
    """The first outputs of the reference implementation for seed 1234567, and for every seed its closed form."""
    outputs = splitmix(torch.tensor(1234567), torch.arange(5))
    assert [int(word) % 2**64 for word in outputs] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    seeds = torch.tensor([0, -1, 2**63 - 1, -(2**63)])
    derived = [[_splitmix(int(seed), counter) for counter in range(4)] for seed in seeds]
    assert [[int(w) % 2**64 for w in row] for row in splitmix(seeds[:, None], torch.arange(4))] == derived


def _splitmix(seed: int, counter: int) -> int:
    word = (seed + (counter + 1) * 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def test_numbers_follow_their_distributions():
    draws = KeyedRNG(1, range(2000), step=9)
    normal, uniform = draws.normal("n", (101,)).double(), draws.uniform("u", (101,))
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    assert abs(float((normal**4).mean()) - 3) < 5 * (96 / normal.numel()) ** 0.5  # the kurtosis, of variance 96 / n
    pairs = (normal[:, 0:100:2] * normal[:, 1:100:2]).mean()  # cosine and sine of one pair
    assert abs(float(pairs)) < 5 / (2000 * 50) ** 0.5


def test_sums_over_steps_are_independent():
    """Means of a batch over steps, purposes and seeds vary as means of independent numbers do."""
    means = torch.stack(
        [KeyedRNG(seed, range(64), step=step).normal("time", ()).mean() for seed in range(4) for step in range(500)]
    ).double()
    assert abs(float(means.var()) * 64 - 1) < 5 * (2 / len(means)) ** 0.5
    assert abs(float((means[1:] * means[:-1]).mean()) * 64) < 5 / len(means) ** 0.5


def test_rows_of_any_size_are_equal_to_the_last_bit():
    for shape in ((), (1,), (3,), (7, 11), (4, 9, 9)):
        whole = KeyedRNG(3, range(37), step=5).normal("noise", shape)
        assert torch.equal(whole, torch.cat([KeyedRNG(3, [slot], step=5).normal("noise", shape) for slot in range(37)]))


def test_a_large_batch_takes_no_more_operations():
    assert _operations(8) == _operations(512) > 0


def _operations(slots: int) -> int:
    with OperatorCounter() as counter:
        KeyedRNG(0, range(slots)).normal("noise", (4, 8, 8))
        KeyedRNG(0, range(slots)).uniform("time")
    return counter.count


class OperatorCounter(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))
