"""The files and weights that a VAE declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nanogen_data.testing import FilesContract
from nanogen_vae.config import VAEConfig
from nanogen_vae.tokenizer import VAE


class TestVAE(FilesContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        from diffusers import AutoencoderKL

        torch.manual_seed(0)
        AutoencoderKL(norm_num_groups=2, block_out_channels=(4,)).save_pretrained(tmp_path / "vae")
        return tmp_path / "vae"

    @pytest.fixture
    def build(self) -> Any:
        return lambda folder: VAE(VAEConfig(path=str(folder)))

    def test_a_missing_file_is_a_sentence(self, build: Any, tmp_path: Path) -> None:
        """A path without a local folder is a name on the hub."""
        (tmp_path / "nothing").mkdir()
        super().test_a_missing_file_is_a_sentence(build, tmp_path)
