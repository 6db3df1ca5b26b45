"""A text encoder says what it reads of its folder, its vocabulary included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models

from nanogen_data.testing import FilesContract
from nanogen_t2i.config import HFTextConfig
from nanogen_t2i.encoder import HFText


class TestHFText(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
        )
        BertModel(config).save_pretrained(tmp_path / "bert")
        words = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="<pad>"))
        PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(tmp_path / "bert")
        return tmp_path / "bert"

    @pytest.fixture
    def build(self) -> Any:
        return lambda folder: HFText(HFTextConfig(path=str(folder)))

    def test_a_missing_file_is_a_sentence(self, build: Any, tmp_path: Path) -> None:
        """A path where there is no folder is a name on the hub."""
        (tmp_path / "nothing").mkdir()
        super().test_a_missing_file_is_a_sentence(build, tmp_path)
