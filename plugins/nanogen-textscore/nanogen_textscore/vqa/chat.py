"""The VQAScore model `chat-vqa`: a vision-language chat model such as Qwen-VL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from PIL import Image

from nanogen_textscore.config import ChatVQAConfig
from nanogen_textscore.models import Model
from nanogen_textscore.vqa.probability import token_probability
from nanogen_textscore.vqa.wording import ANSWER, CHAT_QUESTION


class ChatVQA:
    """Scores an image by the probability that the answer begins with the first token of "Yes"."""

    def __init__(self, config: ChatVQAConfig):
        self._config = config
        self._model = Model(config.path, "model.path")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "kind": "chat model (transformers)",
            **self._model.settings,
            "dtype": self._config.dtype,
            "question": CHAT_QUESTION,
            "answer": ANSWER,
        }

    def to(self, device: torch.device | str) -> ChatVQA:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def score(self, image: Image.Image, text: str) -> float:
        """Return the probability in [0, 1] that an RGB image shows a text."""
        content = [{"type": "image"}, {"type": "text", "text": CHAT_QUESTION.format(text)}]
        prompt = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        inputs = self._processor(text=[prompt], images=[image], return_tensors="pt").to(self._device)
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
