"""The memory of real latents against a list for each group."""

from __future__ import annotations

import torch

from nanogen_core.randomness import KeyedRNG
from nanogen_drifting.bank import Bank


def numbered(start: int, count: int) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32).reshape(-1, 1, 1, 1)


def test_a_group_keeps_its_latest_latents() -> None:
    bank, lists = Bank(3, 4, (1, 1, 1), key_width=1), {group: [] for group in range(3)}
    labels = KeyedRNG(0, range(60)).uniform("labels").mul(3).long()
    for start in range(0, 60, 12):
        groups, latents = labels[start : start + 12], numbered(start, 12)
        bank.push(latents, groups, latents.reshape(-1, 1))
        for group, latent in zip(groups.tolist(), latents.flatten().tolist(), strict=True):
            lists[group] = [*lists[group], latent][-4:]
        for group, expected in lists.items():
            held = int(bank.count(torch.tensor([group])))
            assert sorted(bank.latents[group, :held].flatten().tolist()) == sorted(expected)
            assert torch.equal(bank.keys[group].flatten(), bank.latents[group].flatten())


def test_draws_are_without_replacement_and_repeat_a_group_with_too_few() -> None:
    bank = Bank(3, 4, (1, 1, 1))
    bank.push(numbered(10, 6), torch.tensor([0, 0, 0, 0, 1, 1]))
    groups = torch.tensor([0, 1, 2])
    indices = bank.draw(groups, KeyedRNG(0, range(3)).uniform("priority", (4,)), 4)
    found = bank.take(groups, indices, numbered(-3, 3)).flatten(1).tolist()
    assert sorted(found[0]) == [10, 11, 12, 13]
    assert sorted(found[1]) == [14, 14, 15, 15]
    assert found[2] == [-1] * 4  # the default of an empty group


def test_the_least_priority_comes_first() -> None:
    bank = Bank(1, 4, (1, 1, 1))
    bank.push(numbered(0, 3), torch.zeros(3, dtype=torch.int64))
    priority = torch.tensor([[0.5, -2.0, 0.1, -9.0]])  # the last slot is empty
    assert bank.draw(torch.tensor([0]), priority, 2).tolist() == [[1, 2]]


def test_a_bank_is_in_its_state_dict() -> None:
    bank, other = Bank(2, 4, (1, 1, 1)), Bank(2, 4, (1, 1, 1))
    bank.push(numbered(0, 3), torch.tensor([0, 1, 1]))
    other.load_state_dict(bank.state_dict())
    bank.push(numbered(5, 1), torch.tensor([1]))
    other.push(numbered(5, 1), torch.tensor([1]))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in bank.state_dict().items())
