"""CLIP-FlanT5, the published judge: a T5 that reads the patches of a CLIP among its words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from nanogen_core.errors import DataError
from nanogen_textscore.config import ClipT5Config
from nanogen_textscore.models import Model, weight_files
from nanogen_textscore.vqa.checkpoint import part_of
from nanogen_textscore.vqa.probability import answer_probability
from nanogen_textscore.vqa.wording import ANSWER, FIGURE, IMAGE_TOKEN, flan_prompt, squared, tokens

PROJECTOR, VISION = "mm_projector.", "vision_tower.vision_tower."  # in the checkpoint's names
LAYER = -2  # the states of CLIP that are read, those of its patches
LONGEST = 2048  # tokens of a prompt


class ClipT5:
    """Reads the published files: T5, the projector and the tuned vision tower in one checkpoint."""

    def __init__(self, config: ClipT5Config):
        self._config = config
        self._model = Model(config.path, "judge.path")
        self._words = Model(config.tokenizer, "judge.tokenizer")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "kind": "CLIP-FlanT5 (transformers)",
            **self._model.settings,
            "tokenizer": self._words.small_digest,
            "vision": self._tower.small_digest if self._tuned else self._tower.settings,
            "dtype": self._config.dtype,
            "question": FIGURE,
            "answer": ANSWER,
        }

    def to(self, device: torch.device | str) -> ClipT5:
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def score(self, picture: Image.Image, text: str) -> float:
        labels = torch.tensor([self._tokens(ANSWER)], device=self._device)  # [1, T]
        states = self._states(flan_prompt(text), self._patches(picture))  # [1, L, D]
        answer = self._t5.to(self._device)(inputs_embeds=states, labels=labels)
        known = answer.logits[0, :, : len(self._tokenizer)]  # T5 has rows past its words, which the original cuts off
        return answer_probability(known, labels[0])

    def _patches(self, picture: Image.Image) -> Tensor:
        """The picture as states of the T5 [N, D]."""
        mean = self._processor.image_mean
        square = squared(picture, (int(mean[0] * 255), int(mean[1] * 255), int(mean[2] * 255)))
        pixels = self._processor(images=square, return_tensors="pt")["pixel_values"].to(self._device, self._dtype)
        seen = self._vision.to(self._device)(pixels, output_hidden_states=True).hidden_states[LAYER]  # [1, 1 + N, d]
        projected: Tensor = self._projector.to(self._device)(seen[:, 1:])
        return projected[0]

    def _states(self, prompt: str, patches: Tensor) -> Tensor:
        """The prompt as states [1, L, D], the patches where its picture is."""
        numbers = torch.tensor(tokens(prompt, self._tokens)[:LONGEST], device=self._device)
        place = numbers.tolist().index(IMAGE_TOKEN)
        embed = self._t5.to(self._device).get_input_embeddings()
        return torch.cat([embed(numbers[:place]), patches, embed(numbers[place + 1 :])])[None]

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text)["input_ids"])

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self._config.dtype)
        return dtype

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        """The checkpoint's own configuration."""
        from transformers import PretrainedConfig

        facts, _ = PretrainedConfig.get_config_dict(str(self._model.folder), local_files_only=True)
        return facts

    @cached_property
    def _t5(self) -> Any:
        """The T5 of the checkpoint, with its own output matrix, which transformers 5 would tie to the input's."""
        from transformers import T5Config, T5ForConditionalGeneration

        config = T5Config.from_dict({**self._facts, "model_type": "t5"})
        network = self._model.network(T5ForConditionalGeneration, config=config, dtype=self._dtype)
        own = part_of(weight_files(self._model.folder), "lm_head.")
        if not own:
            raise DataError(f"{self._model.folder} has no weights lm_head.*: set `judge.path` to a CLIP-FlanT5.")
        network.lm_head.weight = nn.Parameter(own["weight"].to(self._dtype), requires_grad=False)
        return network

    @cached_property
    def _projector(self) -> nn.Module:
        """Linear layers with GELU between them, as many as the checkpoint has."""
        weights = part_of(weight_files(self._model.folder), PROJECTOR)
        numbers = sorted({int(name.partition(".")[0]) for name in weights})
        if not numbers:
            raise DataError(f"{self._model.folder} has no weights {PROJECTOR}*: set `judge.path` to a CLIP-FlanT5.")
        shapes = [weights[f"{number}.weight"].shape for number in numbers]
        layers = [[nn.Linear(wide, out), nn.GELU()] for out, wide in shapes]
        network = nn.Sequential(*list(chain.from_iterable(layers))[:-1])
        network.load_state_dict(weights)
        return network.to(self._dtype).eval().requires_grad_(False)

    @cached_property
    def _vision(self) -> Any:
        """The vision tower: its tuned weights in the checkpoint, or those of the CLIP that it names."""
        from transformers import CLIPVisionConfig, CLIPVisionModel

        weights = part_of(weight_files(self._model.folder), VISION)
        if not weights:
            return self._tower.network(CLIPVisionModel, dtype=self._dtype)
        config = self._tower.helper(CLIPVisionConfig)
        return self._model.network(CLIPVisionModel, weights=weights, config=config, dtype=self._dtype)

    @cached_property
    def _tuned(self) -> bool:
        """Whether the checkpoint has weights of the vision tower: then of the tower's own files no weights are read."""
        return bool(part_of(weight_files(self._model.folder), VISION))

    @cached_property
    def _tower(self) -> Model:
        return Model(self._config.vision or self._facts["mm_vision_tower"], "judge.vision")

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPImageProcessorPil

        return self._tower.helper(CLIPImageProcessorPil)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._words.helper(AutoTokenizer)
