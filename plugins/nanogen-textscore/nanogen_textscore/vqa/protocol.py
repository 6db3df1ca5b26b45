"""What the metrics `vqascore` and `genaibench` ask of a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from PIL import Image


class VQAJudge(Protocol):
    """An encoder that provides `vqascore`. It sees one picture at a time, so that no score depends on a batch."""

    settings: Mapping[str, Any]

    def to(self, device: torch.device | str) -> object:
        """Where it computes from now on."""

    def score(self, picture: Image.Image, text: str) -> float:
        """How probable it is in [0, 1] that the picture [RGB] shows what the text says."""
