"""Text encoders in the folders of a diffusers pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel, T5Model

from nanogen_core.errors import DataError
from nanogen_t2i.config import HFTextConfig
from nanogen_t2i.encoder import HFText

SIZES: dict[str, Any] = {"vocab_size": 6, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline with a T5 encoder: model_index.json, text_encoder_2, tokenizer_2."""
    torch.manual_seed(0)
    words = {word: number for number, word in enumerate(["<pad>", "<unk>", "a", "red", "apple", "dog"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    fast.save_pretrained(tmp_path / "tokenizer_2")
    T5EncoderModel(T5Config(**SIZES)).save_pretrained(tmp_path / "text_encoder_2")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    return tmp_path


def test_the_encoder_alone_is_loaded_with_the_tokenizer_beside_it(folder: Path) -> None:
    encoder = HFText(HFTextConfig(path=str(folder / "text_encoder_2")))
    found = encoder.encode(["a red dog", "apple"], 8)
    model = T5EncoderModel.from_pretrained(folder / "text_encoder_2").eval()
    tokens, mask = torch.tensor([[2, 3, 5], [4, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]])
    with torch.no_grad():
        expected = model(input_ids=tokens, attention_mask=mask).last_hidden_state * mask[..., None]
    assert encoder.width == 16
    assert torch.equal(found.tokens, expected)
    assert {file.parent.name for file in encoder.files()} == {"text_encoder_2", "tokenizer_2"}


def test_a_whole_pipeline_names_the_folder_to_give(folder: Path) -> None:
    with pytest.raises(DataError, match=r"whole pipeline of diffusers. Set `encoder.path` to .*/text_encoder_2\)"):
        HFText(HFTextConfig(path=str(folder))).encode(["a"], 8)


def test_an_encoder_with_a_decoder_is_refused(folder: Path) -> None:
    T5Model(T5Config(**SIZES, decoder_start_token_id=0)).save_pretrained(folder / "text_encoder_2")
    with pytest.raises(DataError, match=r"is an encoder with a decoder"):
        HFText(HFTextConfig(path=str(folder / "text_encoder_2"))).encode(["a"], 8)
