"""Bad examples are replaced by their place alone, counted, named, and few."""

from __future__ import annotations

import logging
import pickle
from itertools import islice

import pytest
import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_data.corrupt import MAX_LISTED, CorruptionCounter, CorruptSample, CorruptSampleError, first_good
from nanogen_data.loader import Example, iter_once, loader

BAD = {3, 4, 9}


class Numbers:
    """Images that hold their own number; three of them are bad."""

    max_corrupt = 0.5

    def __init__(self, length: int = 10, bad: set[int] = BAD):
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        if index in self.bad:
            raise CorruptSampleError("odd" if index % 2 else "even", f"Number {index} is bad.")
        return Example(torch.full((3, 2, 2), float(index)))


class Many(Numbers):
    def __getitems__(self, indices: list[int]) -> list[Example]:
        return [self[index] for index in indices]


def never(image: object, number: int) -> Tensor:
    raise AssertionError


def indices(batches: list[Batch]) -> list[int]:
    return [int(index) for batch in batches for index in batch.indices]


@pytest.mark.parametrize("kind", [Numbers, Many])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_next_good_one_stands_in_around_the_end(kind: type[Numbers], num_workers: int) -> None:
    batches = list(iter_once(kind(), 4, transform=never, num_workers=num_workers))
    assert indices(batches) == [0, 1, 2, 5, 5, 5, 6, 7, 8, 0]
    assert [float(image[0, 0, 0]) for batch in batches for image in batch.images] == indices(batches)  # type: ignore[union-attr]


def test_every_good_place_of_the_order_is_as_it_would_be_without_damage() -> None:
    whole = indices(list(islice(loader(Numbers(bad=set()), 4, transform=never, seed=2), 9)))
    mended = indices(list(islice(loader(Numbers(), 4, transform=never, seed=2), 9)))
    resumed = indices(list(islice(loader(Numbers(), 4, transform=never, seed=2, start=5), 4)))
    assert [b if a not in BAD else None for a, b in zip(whole, mended, strict=True)] == [
        a if a not in BAD else None for a in whole
    ]
    assert mended[20:] == resumed


@pytest.mark.parametrize("num_workers", [0, 2])
def test_too_many_stop_with_one_sentence(num_workers: int) -> None:
    numbers = Numbers(bad={1, 2, 3})
    numbers.max_corrupt = 0.2
    sentence = (
        r"^Too many samples are corrupt: 3 of 10 \(2 odd, 1 even\); the limit is 20\.00%\. "
        r"First: Number 1 is bad\. Repair the data, or raise `dataset\.max_corrupt`\.$"
    )
    with pytest.raises(DataError, match=sentence):
        list(iter_once(numbers, 5, transform=never, num_workers=num_workers))


def test_exactly_the_share_may_be_bad() -> None:
    numbers = Numbers(bad={1, 2})
    numbers.max_corrupt = 0.2
    assert len(indices(list(iter_once(numbers, 5, transform=never)))) == 10


def test_one_percent_is_what_nobody_sets() -> None:
    class Plain(Numbers):
        pass

    del Numbers.max_corrupt
    try:
        assert len(list(iter_once(Plain(200, {1, 2}), 200, transform=never))) == 1
        with pytest.raises(DataError, match=r"3 of 200 .* the limit is 1\.00%"):
            list(iter_once(Plain(200, {1, 2, 3}), 200, transform=never))
    finally:
        Numbers.max_corrupt = 0.5


def test_a_dataset_of_nothing_good_ends_at_once() -> None:
    with pytest.raises(
        DataError, match=r"No example can be read from index 0 on \(tried: 100\).*First: Number 0 is bad"
    ):
        list(iter_once(Numbers(10**6, set(range(10**6))), 1, transform=never))


def test_the_first_ten_are_named_and_a_place_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    tally = CorruptionCounter(1000, 0.5)
    with caplog.at_level(logging.WARNING):
        for number in [*range(40), *range(40)]:
            tally.add([CorruptSample(number, "odd" if number % 2 else "even", f"Number {number} is bad.")])
    assert len(tally) == 40
    assert dict(tally.reasons) == {"even": 20, "odd": 20}
    assert tally.first == [f"Number {number} is bad." for number in range(MAX_LISTED)]
    assert [f"Number {number} is bad." in caplog.text for number in range(40)] == [True] * MAX_LISTED + [False] * 30
    assert "Skipped so far: 32 of 1000 (16 even, 16 odd)" in caplog.text


def test_first_good_says_what_it_passed() -> None:
    bad: list[CorruptSample] = []
    assert first_good(Numbers().__getitem__, 9, range(10), bad)[0] == 0
    assert bad == [CorruptSample(9, "odd", "Number 9 is bad.")]


def test_a_bad_example_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(CorruptSampleError("odd", "Number 1 is bad.")))
    assert (error.reason, str(error)) == ("odd", "Number 1 is bad.")
