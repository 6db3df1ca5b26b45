"""Labels outside 0 ... N - 1 are refused, whatever dataset they come from: N would train as the null class."""

import logging
import pickle
from itertools import islice

import numpy as np
import pytest
import torch

from nanogen_core.errors import DataError
from nanogen_data import notes
from nanogen_data.labels import CheckedLabels, checked, from_one
from nanogen_data.loader import Example, iter_once, loader

WRONG = [3, 4, -1, 10**30, 1.0, float("nan"), "1", "cat", True, False, None, [1], {"a": 1}, b"1", np.float32(1)]


class Given:
    """Examples of these labels and captions; images hold their number."""

    max_corrupt = 0.5

    def __init__(self, labels=None, captions=None):
        self.labels, self.captions = labels, captions

    def __len__(self):
        return len(self.labels or self.captions)

    def __getitem__(self, index):
        label = None if self.labels is None else self.labels[index]
        caption = None if self.captions is None else self.captions[index]
        return Example(torch.full((3, 2, 2), float(index)), label, caption)


class Many(Given):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


def never(image, number):
    raise AssertionError


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_label_is_refused_with_place_value_and_classes(value):
    shown = repr(value)
    with pytest.raises(DataError) as found:
        checked(value, 3, "row 5 of x")
    sentence = f"The label of row 5 of x is {shown}; labels must be integers from 0 to 2 (3 classes)."
    assert str(found.value) == sentence


@pytest.mark.parametrize("value", [0, 2, np.int64(1), np.uint8(2)])
def test_whole_numbers_inside_are_labels(value):
    assert checked(value, 3, "x") == int(value)
    assert type(checked(value, 3, "x")) is int


def test_labels_from_one_are_noticed():
    assert from_one([1, 3, 2], 3) == " The labels seem to start at 1: subtract 1 from each."
    assert from_one([0, 3], 3) == from_one([1, 2], 3) == from_one([], 3) == ""


@pytest.mark.parametrize("kind", [Given, Many])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_labels_of_any_dataset_are_checked_as_they_are_read(kind, num_workers):
    right = CheckedLabels(kind([0, 1, 2, 0]), 3)
    assert torch.cat([b.labels for b in iter_once(right, 3, transform=never, num_workers=num_workers)]).tolist() == [
        0,
        1,
        2,
        0,
    ]
    with pytest.raises(DataError, match=r"label of example 2 is 3; labels must be integers from 0 to 2"):
        list(iter_once(CheckedLabels(kind([0, 1, 3, 0]), 3), 2, transform=never, num_workers=num_workers))


def test_checked_labels_stand_for_their_examples():
    wrapped = pickle.loads(pickle.dumps(CheckedLabels(Given([0, 1]), 3)))
    assert (len(wrapped), wrapped.max_corrupt, wrapped[1].label) == (2, 0.5, 1)
    assert not hasattr(wrapped, "__getitems__")
    assert hasattr(CheckedLabels(Many([0]), 3), "__getitems__")


@pytest.mark.parametrize("value", [1.0, True, "1", -1, [1]])
def test_the_reader_takes_whole_numbers_alone(value):
    with pytest.raises(DataError, match="label of example 0 is .* integers from 0"):
        next(loader(Given([value]), 1, transform=never))


@pytest.mark.parametrize(
    ("examples", "name"), [(Given([0, None, 1]), "label"), (Given(captions=["a", None, "b"]), "caption")]
)
def test_what_some_examples_lack_is_refused(examples, name):
    with pytest.raises(DataError, match=rf"Example 1 has no {name}, but others of its batch do"):
        list(iter_once(examples, 3, transform=never))


def test_a_caption_that_is_no_text_is_refused():
    with pytest.raises(DataError, match=r"caption of example 0 is of type int: use a string"):
        list(iter_once(Given(captions=[(7, 8)]), 1, transform=never))


def test_each_epoch_takes_one_of_several_captions_by_seed_epoch_and_index(caplog):
    texts = [tuple(f"{index}-{number}" for number in range(5)) for index in range(4)]

    def epochs(seed, batch, start=0):
        count = 4 * 60 // batch - start
        rows = islice(loader(Given(captions=texts), batch, transform=never, seed=seed, start=start), count)
        return [(int(i), c) for b in rows for i, c in zip(b.indices, b.captions, strict=True)]

    seen = epochs(0, 4)
    assert all(caption.startswith(f"{index}-") for index, caption in seen)
    assert {caption for _, caption in seen} == {text for row in texts for text in row}  # 60 epochs show all of them
    assert epochs(0, 2) == seen  # any batch size
    assert epochs(0, 4, start=7) == seen[28:]  # after a resume
    assert epochs(1, 4) != seen
    notes._logged.clear()
    with caplog.at_level(logging.WARNING):
        (batch,) = iter_once(Given(captions=texts), 4, transform=never)
        assert [list(b.captions) for b in iter_once(Given(captions=texts), 4, transform=never)] == [
            list(batch.captions)
        ]
    assert "Images have several captions. " in caplog.text
    alone = Given(captions=["one", "two"])
    assert {c for b in islice(loader(alone, 2, transform=never), 3) for c in b.captions} == {"one", "two"}
