"""The manifest, the task and the conditioner keep the contracts of the core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import webdataset
from PIL import Image

from nanogen_core.tensors import Batch, Condition
from nanogen_core.testing import ConditionerContract, PluginContract, TaskContract
from nanogen_t2i.config import TextConfig, WebDatasetConfig
from nanogen_t2i.dataset import WebDataset
from nanogen_t2i.task import T2I
from nanogen_t2i.text import Text

CAPTIONS = ["a red apple", "two cats", "a dog left of a car", "a blue sun", "rain", "snow"]


class Words:
    """One token a word; its state depends on the word alone."""

    width, max_length = 3, 6

    def to(self, device: torch.device | str) -> None:
        return None

    def encode(self, texts: Sequence[str], length: int) -> Condition:
        tokens, mask = torch.zeros(len(texts), length, 3), torch.zeros(len(texts), length, dtype=torch.bool)
        for row, text in enumerate(texts):
            for place, word in enumerate(text.split()[:length]):
                tokens[row, place], mask[row, place] = float(sum(map(ord, word))), True
        return Condition(tokens, mask)


@pytest.fixture
def manifest() -> str:
    return "nanogen_t2i.plugin"


@pytest.fixture(params=[0, 4])
def conditioner(request: pytest.FixtureRequest) -> Text:
    return Text(TextConfig(cache_size=request.param), encoder=Words())


@pytest.fixture
def batch() -> Batch:
    return Batch(torch.arange(4), captions=CAPTIONS[:4])


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> T2I:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        with webdataset.TarWriter(str(tmp_path / split / "0.tar")) as tar:
            for number, caption in enumerate(CAPTIONS):
                image = Image.effect_noise((20 + number, 24), 90).convert("RGB")
                tar.write({"__key__": str(number), "jpg": image, "txt": caption})
    return T2I(image_size=16, dataset=WebDataset(WebDatasetConfig(root=str(tmp_path))))


@pytest.fixture
def requests() -> list[str]:
    return ["a dog", "two cats"]


class TestPlugin(PluginContract):
    required = frozenset({"path"})  # of `hf-text`, which is any model


class TestText(ConditionerContract):
    pass


class TestT2I(TaskContract):
    pass
