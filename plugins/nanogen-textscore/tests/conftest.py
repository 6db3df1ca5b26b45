"""Judges in small: the classes of the published networks with random weights, in the files of the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

COLOURS = "red orange yellow green blue purple pink brown black white"
WORDS = f"a photo of {COLOURS} colored object dog mouse computer Yes yes no is there Does this figure show image ?"


def save_tokenizer(folder: Path, *, start: str | None, end: str | None) -> None:
    """A tokenizer of the words above, with its start and end tokens around a text."""
    from transformers import PreTrainedTokenizerFast

    specials = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    words = Tokenizer(models.WordLevel({w: n for n, w in enumerate([*specials, *WORDS.split()])}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    around = " ".join(part for part in (start, "$A", end) if part)
    tokens = [(token, specials.index(token)) for token in (start, end) if token]
    words.post_processor = processors.TemplateProcessing(single=around, special_tokens=tokens)
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    ).save_pretrained(folder)


def vocabulary() -> int:
    return 5 + len(WORDS.split())


def vision(**more: int) -> dict[str, int]:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    return {**sizes, "image_size": 16, "patch_size": 8, **more}


def save_processor(folder: Path) -> None:
    from transformers import CLIPImageProcessorPil

    square = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=square).save_pretrained(folder)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    text = {"vocab_size": vocabulary(), "max_position_embeddings": 12, "eos_token_id": 2, "bos_token_id": 1}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = CLIPConfig(text_config={**text, **sizes, "pad_token_id": 0}, vision_config=vision(), projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    save_tokenizer(folder, start="<s>", end="</s>")
    save_processor(folder)
    return folder


DETECTED = ["person", "mouse", "sofa", "dog"]  # as the published weights call them


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessorPil,
        SwinConfig,
    )

    folder = tmp_path_factory.mktemp("mask2former")
    stages = ["stage1", "stage2", "stage3", "stage4"]
    swin = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2, "image_size": 64}
    sizes = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "dim_feedforward": 16}
    layers = {"num_queries": 5, "decoder_layers": 2, "encoder_layers": 1, "num_attention_heads": 2}
    names = {"id2label": dict(enumerate(DETECTED)), "label2id": {name: n for n, name in enumerate(DETECTED)}}
    torch.manual_seed(0)
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(**swin, out_features=stages),
        encoder_feedforward_dim=16,
        **sizes,
        **layers,
        **names,
    )
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessorPil().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipImageProcessorPil

    folder = tmp_path_factory.mktemp("blip")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    text = {**sizes, **ends, "vocab_size": vocabulary(), "encoder_hidden_size": 16, "max_position_embeddings": 32}
    torch.manual_seed(0)
    config = BlipConfig(text_config=text, vision_config=vision(), projection_dim=8)
    BlipForQuestionAnswering(config).save_pretrained(folder)
    save_tokenizer(folder, start="<s>", end="</s>")
    BlipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def t5_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5-tokenizer")
    save_tokenizer(folder, start=None, end="</s>")
    return folder


@pytest.fixture
def write_json(tmp_path: Path):
    def write(name: str, value: object) -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
        return str(file)

    return write
