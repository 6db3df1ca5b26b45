"""CLIP image and text embeddings through transformers (Radford et al., arXiv 2103.00020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nanogen_textscore.models import Model


class Clip:
    """A frozen CLIP. Images are preprocessed by Pillow, even if torchvision is installed.

    Args:
        path: A folder, or a name on the Hugging Face hub.
        option: The option that `path` comes from, for error messages.
    """

    def __init__(self, path: str, *, option: str):
        self._model = Model(path, option)
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, str]:
        return self._model.settings

    def to(self, device: torch.device | str) -> Clip:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def images(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the CLIP embeddings [B, D] of images: float32, of unit length. The result is on the CPU."""
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        network = self._network.to(self._device)
        return F.normalize(network.get_image_features(pixels.to(self._device)).pooler_output, dim=-1).cpu()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return the CLIP embeddings [B, D] of texts: float32, of unit length. The result is on the CPU.

        Texts are truncated to the model's maximum length: 77 tokens for OpenAI's CLIP.
        """
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
