"""CLIP through transformers: pictures and texts as directions of one space (Radford et al., arXiv 2103.00020)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nanogen_textscore.models import Model


class Clip:
    """A frozen CLIP; pixels go through Pillow, whatever else is installed, so that a score depends on no backend."""

    def __init__(self, path: str, *, option: str):
        self._model = Model(path, option)
        self._device = torch.device("cpu")

    @property
    def settings(self) -> dict[str, str]:
        return self._model.settings

    def to(self, device: torch.device | str) -> Clip:
        """Where it computes from now on; returns itself."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures -> float32 [B, D] of unit length, on the CPU."""
        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        network = self._network.to(self._device)
        return F.normalize(network.get_image_features(pixels.to(self._device)).pooler_output, dim=-1).cpu()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Texts, cut to the tokens that CLIP takes (77) -> float32 [B, D] of unit length, on the CPU."""
        longest = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        network = self._network.to(self._device)
        return F.normalize(network.get_text_features(**tokens.to(self._device)).pooler_output, dim=-1).cpu()

    @cached_property
    def _network(self) -> Any:
        from transformers import CLIPModel

        return self._model.network(CLIPModel, dtype=torch.float32)

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPImageProcessorPil

        return self._model.helper(CLIPImageProcessorPil)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._model.helper(AutoTokenizer)
