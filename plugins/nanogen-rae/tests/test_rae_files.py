"""The files that an encoder declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nanogen_data.testing import FilesContract
from nanogen_rae.config import EncoderConfig
from nanogen_rae.encoder import PublishedEncoder


class TestPublishedEncoder(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

        torch.manual_seed(0)
        config = Dinov2WithRegistersConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28)
        Dinov2WithRegistersModel(config).save_pretrained(tmp_path / "dino")
        return tmp_path / "dino"

    @pytest.fixture
    def build(self) -> Any:
        def build(folder: Path) -> PublishedEncoder:
            encoder = PublishedEncoder("dinov2-vit-s", EncoderConfig(path=str(folder)))
            encoder.files()
            return encoder

        return build

    def test_a_missing_file_is_a_sentence(self, build: Any, tmp_path: Path) -> None:
        """A path without a local folder is a name on the hub."""
        (tmp_path / "nothing").mkdir()
        super().test_a_missing_file_is_a_sentence(build, tmp_path)
