"""Small random text models of the real classes, saved as the hub has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
