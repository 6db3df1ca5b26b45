"""Labels as conditions, and words as labels."""

from __future__ import annotations

import pytest
import torch

from nanogen_core.errors import NanoGenError, UnknownName
from nanogen_core.tensors import Batch
from nanogen_imagenet.config import LabelConfig
from nanogen_imagenet.label import Label
from nanogen_imagenet.words import Words

BIRDS = ("crane, wader", "tench, Tinca tinca", "crane, machine", "Cardigan, Welsh corgi", "cardigan", "7")


def test_a_label_is_one_token_whose_projection_is_the_embedding_table() -> None:
    conditioner = Label(LabelConfig(), classes=("a", "b", "c"))
    condition = conditioner.encode(Batch(torch.arange(3), labels=torch.tensor([2, 0, 1])))
    table = torch.randn(4, 5)
    assert condition.tokens.shape == (3, 1, conditioner.spec.width)
    assert torch.equal(condition.tokens[:, 0] @ table, table[[2, 0, 1]])
    assert condition.mask is None
    assert (conditioner.spec.length, conditioner.spec.learned, conditioner.spec.padded) == (1, 8, False)


def test_the_null_class_comes_after_the_others() -> None:
    assert Label(LabelConfig(), classes=("a", "b", "c")).null(2).tokens.tolist() == [[[0, 0, 0, 1]]] * 2


def test_a_batch_without_labels_is_refused() -> None:
    with pytest.raises(NanoGenError, match="a batch without labels"):
        Label(LabelConfig(), classes=("a",)).encode(Batch(torch.arange(1), captions=["a dog"]))


@pytest.mark.parametrize(
    ("word", "label"), [("tench", 1), ("TINCA tinca ", 1), ("tench, Tinca tinca", 1), (3, 3), ("3", 3), ("7", 5)]
)
def test_words_and_numbers_are_understood(word: str | int, label: int) -> None:
    assert Words(BIRDS).label(word) == label


def test_a_whole_name_comes_before_a_synonym() -> None:
    assert Words(BIRDS).label("cardigan") == 4


def test_a_name_of_two_classes_is_refused_with_both() -> None:
    with pytest.raises(NanoGenError, match=r"'crane' belongs to 2 classes.*\[0, 2\]"):
        Words(BIRDS).label("crane")


def test_an_unknown_name_has_a_near_miss() -> None:
    with pytest.raises(UnknownName, match=r"no class 'tensh' among the 6.* Did you mean 'tench'\?.*from 0 to 5"):
        Words(BIRDS).label("tensh")


@pytest.mark.parametrize("label", [-1, 6, "6"])
def test_a_label_outside_is_refused(label: int | str) -> None:
    with pytest.raises(NanoGenError, match="has 6 classes, so choose one from 0 to 5"):
        Words(BIRDS).label(label)
