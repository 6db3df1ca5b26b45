"""A chat model that sees, such as Qwen-VL, as the judge of VQAScore."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from PIL import Image

from nanogen_textscore.config import ChatVQAConfig
from nanogen_textscore.models import Model
from nanogen_textscore.vqa.probability import token_probability
from nanogen_textscore.vqa.wording import ANSWER, PICTURE


class ChatVQA:
    """The probability of the first token of "Yes" as the first token of the answer."""

    def __init__(self, config: ChatVQAConfig):
        self._config = config
        self._model = Model(config.path, "judge.path")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "kind": "chat model (transformers)",
            **self._model.settings,
            "dtype": self._config.dtype,
            "question": PICTURE,
            "answer": ANSWER,
        }

    def to(self, device: torch.device | str) -> ChatVQA:
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def score(self, picture: Image.Image, text: str) -> float:
        asked = [{"type": "image"}, {"type": "text", "text": PICTURE.format(text)}]
        said = self._processor.apply_chat_template(
            [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        inputs = self._processor(text=[said], images=[picture], return_tensors="pt").to(self._device)
        logits = self._network.to(self._device)(**inputs).logits[0, -1]  # [V]
        return token_probability(logits, self._answer)

    @cached_property
    def _answer(self) -> int:
        return int(self._processor.tokenizer.encode(ANSWER, add_special_tokens=False)[0])

    @cached_property
    def _network(self) -> Any:
        from transformers import AutoModelForImageTextToText

        return self._model.network(AutoModelForImageTextToText, dtype=getattr(torch, self._config.dtype))

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        return self._model.helper(AutoProcessor)
