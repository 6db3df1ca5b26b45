"""Labels as conditions, and words as labels."""

from __future__ import annotations

import pytest
import torch

from nanogen_core.errors import NanoGenError, UnknownName
from nanogen_core.tensors import Batch
from nanogen_imagenet.class_lookup import ClassLookup
from nanogen_imagenet.config import LabelConfig
from nanogen_imagenet.label import Label

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
    with pytest.raises(NanoGenError, match="needs labels, but the batch has none"):
        Label(LabelConfig(), classes=("a",)).encode(Batch(torch.arange(1), captions=["a dog"]))


@pytest.mark.parametrize(
    ("word", "label"), [("tench", 1), ("TINCA tinca ", 1), ("tench, Tinca tinca", 1), (3, 3), ("3", 3), ("7", 5)]
)
def test_words_and_numbers_are_understood(word: str | int, label: int) -> None:
    assert ClassLookup(BIRDS).label(word) == label


def test_a_whole_name_comes_before_a_synonym() -> None:
    assert ClassLookup(BIRDS).label("cardigan") == 4


def test_a_name_of_two_classes_is_refused_with_both() -> None:
    with pytest.raises(NanoGenError, match=r"'crane' belongs to 2 classes.*\[0, 2\]"):
        ClassLookup(BIRDS).label("crane")


def test_an_unknown_name_has_a_near_miss() -> None:
    with pytest.raises(UnknownName, match=r"no class 'tensh' among the 6.* Did you mean 'tench'\?.*from 0 to 5"):
        ClassLookup(BIRDS).label("tensh")


@pytest.mark.parametrize(("count", "listed"), [(20, True), (21, False)])
def test_an_unknown_name_lists_at_most_twenty_classes(count: int, listed: bool) -> None:
    with pytest.raises(UnknownName) as caught:
        ClassLookup([f"class {index}, synonym" for index in range(count)]).label("dog")
    assert ("Classes: 'class 0, synonym', 'class 1, synonym'" in str(caught.value)) == listed


@pytest.mark.parametrize("label", [-1, 6, "6"])
def test_a_label_outside_is_refused(label: int | str) -> None:
    with pytest.raises(NanoGenError, match="has 6 classes. Choose a label from 0 to 5"):
        ClassLookup(BIRDS).label(label)


NUMBERED = ("0", "1", "10", "2")


@pytest.mark.parametrize("number", [0, 1, 2, 10])
def test_a_number_means_the_same_as_an_int_and_as_text(number: int) -> None:
    lookup = ClassLookup(NUMBERED)
    assert lookup.label(number) == lookup.label(str(number)) == NUMBERED.index(str(number))


def test_a_number_that_is_no_class_name_is_a_label() -> None:
    assert ClassLookup(NUMBERED).label(3) == ClassLookup(NUMBERED).label("3") == 3


@pytest.mark.parametrize("word", [True, 3.0, None, ["cat"], b"cat"])
def test_a_request_of_another_type_is_refused(word: object) -> None:
    with pytest.raises(NanoGenError, match="neither a class name nor a whole number"):
        ClassLookup(BIRDS).label(word)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "word",
    ["9" * 5_000, 10**5_000, "x" * 100_000, "²", "٣"],
    ids=lambda word: f"{word:.3}" if isinstance(word, str) else "int",
)
def test_an_absurd_request_is_refused_at_once(word: str | int) -> None:
    with pytest.raises(NanoGenError, match="There is no (class|label)"):
        ClassLookup(BIRDS).label(word)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_a_label_outside_is_no_condition(labels: list[int]) -> None:
    batch = Batch(torch.arange(2), labels=torch.tensor(labels))
    with pytest.raises(
        NanoGenError, match=r"label of row [01] of a batch is (3|-1); labels must be integers from 0 to 2"
    ):
        Label(LabelConfig(), classes=("a", "b", "c")).encode(batch)
