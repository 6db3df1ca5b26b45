"""The text conditioner, its memory, and requests as captions, on an encoder that counts its calls."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from nanogen_core.errors import NanoGenError
from nanogen_core.tensors import Batch, Condition
from nanogen_t2i.config import TextConfig
from nanogen_t2i.crop import resize_and_crop
from nanogen_t2i.task import T2I
from nanogen_t2i.text import Text
from tests.waits import waits


class Letters:
    """One token a letter, and one before them, as BERT has it; its state is the letter's number."""

    width, max_length = 2, 12

    def __init__(self) -> None:
        self.asked: list[str] = []

    def to(self, device: torch.device | str) -> None:
        return None

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        self.asked += texts
        longest = min(length, 1 + max(map(len, texts)))
        tokens, mask = torch.zeros(len(texts), longest, 2), torch.zeros(len(texts), longest, dtype=torch.bool)
        for row, text in enumerate(texts):
            letters = torch.tensor([1.0, *(float(ord(letter)) for letter in text[: length - 1])])
            tokens[row, : len(letters)], mask[row, : len(letters)] = letters[:, None], True
        return Condition(tokens, mask)


def batch(*captions: str) -> Batch:
    return Batch(torch.arange(len(captions)), captions=captions)


def same(one: Condition, other: Condition) -> bool:
    assert one.mask is not None
    assert other.mask is not None
    return torch.equal(one.tokens, other.tokens) and torch.equal(one.mask, other.mask)


def test_the_spec_is_that_of_the_encoder() -> None:
    spec = Text(TextConfig(), encoder=Letters()).spec
    assert (spec.width, spec.length, spec.learned, spec.normalize, spec.padded) == (2, 12, 0, True, True)
    assert Text(TextConfig(length=5), encoder=Letters()).spec.length == 5


def test_more_tokens_than_the_encoder_gives_are_refused() -> None:
    with pytest.raises(NanoGenError, match=r"is 13, but the encoder has at most 12 tokens"):
        Text(TextConfig(length=13), encoder=Letters())


def test_null_shows_no_token_whatever_an_encoder_adds() -> None:
    null = Text(TextConfig(), encoder=Letters()).null(3)
    assert null.mask is not None
    assert null.tokens.equal(torch.zeros(3, 1, 2))
    assert null.mask.shape == (3, 1)
    assert not null.mask.any()


@pytest.mark.parametrize("cache_size", [0, 4])
def test_an_empty_caption_is_the_null_condition(cache_size: int) -> None:
    text = Text(TextConfig(cache_size=cache_size), encoder=Letters())
    for _ in range(2):
        found = text.encode(batch("a", "", "bb"))
        assert found.mask is not None
        assert found.mask.sum(1).tolist() == [2, 0, 3]
        assert not found.tokens[1].any()
        assert found.tokens.shape == (3, 3, 2)
    assert same(text.encode(batch("", "")), text.null(2))


def test_a_memory_changes_nothing_but_the_number_of_calls() -> None:
    plain, letters = Text(TextConfig(), encoder=Letters()), Letters()
    remembering = Text(TextConfig(cache_size=3), encoder=letters)
    for captions in [("a", "bb", "a"), ("",), ("a",), ("ccc",), ("a", "bb")]:
        assert same(remembering.encode(batch(*captions)), plain.encode(batch(*captions)))
    assert letters.asked == ["a", "bb", "", "ccc", "bb"]  # `a` was used after `bb`, which went first


def test_cached_captions_do_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Text(TextConfig(cache_size=4), encoder=Letters())
    with waits(monkeypatch) as found:
        text.encode(batch("a", "", "bb"))
    assert found.count("tolist") == 1
    assert "index" not in found
    with waits(monkeypatch) as found:
        text.encode(batch("bb", "a"))
    assert found == []


def test_a_batch_without_captions_is_refused() -> None:
    with pytest.raises(NanoGenError, match="needs captions, but the batch has none"):
        Text(TextConfig(), encoder=Letters()).encode(Batch(torch.arange(1), labels=torch.zeros(1)))


class Prompted:
    classes = ()

    def prompts(self) -> list[str]:
        return ["a dog", "a cat"]


def test_a_request_becomes_captions() -> None:
    asked = T2I(image_size=16, dataset=Prompted()).make_batch(["a dog", "two cats"])  # type: ignore[arg-type]
    assert asked.captions == ["a dog", "two cats"]
    assert asked.indices.tolist() == [0, 1]


@pytest.mark.parametrize(("request_", "words"), [([], "at least one caption"), (["a", 7], "got the number 7")])
def test_what_is_no_caption_is_refused(request_: list[str | int], words: str) -> None:
    with pytest.raises(NanoGenError, match=words):
        T2I(image_size=16, dataset=Prompted()).make_batch(request_)  # type: ignore[arg-type]


def test_questions_are_the_prompts_of_a_dataset_that_has_them() -> None:
    captions = T2I(image_size=16, dataset=Prompted()).eval_batch(4).captions  # type: ignore[arg-type]
    assert captions == ["a dog", "a cat", "a dog", "a cat"]


@pytest.mark.parametrize("shape", [(500, 375), (33, 100), (20, 31), (257, 255), (1, 300)])
def test_every_shape_comes_out_square(shape: tuple[int, int]) -> None:
    assert resize_and_crop(Image.new("L", shape), 32).size == (32, 32)


@pytest.mark.parametrize(
    ("shape", "resized", "corner"),
    [  # torchvision 0.28: the size that Resize(30) makes, the corner that CenterCrop(30) begins at
        ((60, 96), (30, 48), (0, 9)),
        ((60, 99), (30, 49), (0, 10)),  # 49.5 down; 9.5 to even
        ((94, 60), (47, 30), (8, 0)),  # 8.5 to even
        ((30, 35), (30, 35), (0, 2)),
    ],
)
def test_the_crop_is_torchvisions(shape: tuple[int, int], resized: tuple[int, int], corner: tuple[int, int]) -> None:
    image = Image.effect_noise(shape, 80)
    (left, top), bicubic = corner, Image.Resampling.BICUBIC
    expected = image.resize(resized, bicubic).crop((left, top, left + 30, top + 30))
    assert resize_and_crop(image, 30).tobytes() == expected.tobytes()
