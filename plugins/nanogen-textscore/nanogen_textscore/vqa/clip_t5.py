"""CLIP-FlanT5, the published VQAScore model (Lin et al., arXiv 2404.01291): a T5 that reads CLIP patches as tokens."""

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
from nanogen_textscore.vqa.wording import (
    ANSWER,
    FLAN_QUESTION,
    IMAGE_TOKEN,
    flan_prompt,
    padded_square,
    tokenize_prompt,
)

PROJECTOR, VISION = "mm_projector.", "vision_tower.vision_tower."  # prefixes of tensor names in the checkpoint
LAYER = -2  # the hidden states of CLIP that the projector reads
LONGEST = 2048  # maximum length of a prompt in tokens


class ClipT5:
    """CLIP-FlanT5 from a checkpoint with T5, the projector and usually the fine-tuned vision tower."""

    def __init__(self, config: ClipT5Config):
        self._config = config
        self._model = Model(config.path, "model.path")
        self._tokenizer_model = Model(config.tokenizer, "model.tokenizer")
        self._device = torch.device("cpu")

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "kind": "CLIP-FlanT5 (transformers)",
            **self._model.settings,
            "tokenizer": self._tokenizer_model.small_digest,
            "vision": self._tower.small_digest if self._has_vision_weights else self._tower.settings,
            "dtype": self._config.dtype,
            "question": FLAN_QUESTION,
            "answer": ANSWER,
        }

    def to(self, device: torch.device | str) -> ClipT5:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def score(self, image: Image.Image, text: str) -> float:
        """Return the VQAScore in [0, 1] of an RGB image and a text: `answer_probability` of "Yes"."""
        labels = torch.tensor([self._tokens(ANSWER)], device=self._device)  # [1, T]
        embeddings = self._embed(flan_prompt(text), self._patches(image))  # [1, L, D]
        output = self._t5.to(self._device)(inputs_embeds=embeddings, labels=labels)
        logits = output.logits[0, :, : len(self._tokenizer)]  # without T5's padding rows, as in the original
        return answer_probability(logits, labels[0])

    def _patches(self, image: Image.Image) -> Tensor:
        """Return the projected patches of an image, as T5 input embeddings [N, D]."""
        mean = self._processor.image_mean
        square = padded_square(image, (int(mean[0] * 255), int(mean[1] * 255), int(mean[2] * 255)))
        pixels = self._processor(images=square, return_tensors="pt")["pixel_values"].to(self._device, self._dtype)
        hidden = self._vision.to(self._device)(pixels, output_hidden_states=True).hidden_states[LAYER]  # [1, 1 + N, d]
        projected: Tensor = self._projector.to(self._device)(hidden[:, 1:])
        return projected[0]

    def _embed(self, prompt: str, patches: Tensor) -> Tensor:
        """Return the embeddings of a prompt [1, L, D], with the patches in place of its image token."""
        ids = torch.tensor(tokenize_prompt(prompt, self._tokens)[:LONGEST], device=self._device)
        position = ids.tolist().index(IMAGE_TOKEN)
        embed = self._t5.to(self._device).get_input_embeddings()
        return torch.cat([embed(ids[:position]), patches, embed(ids[position + 1 :])])[None]

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text)["input_ids"])

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self._config.dtype)
        return dtype

    @cached_property
    def _checkpoint_config(self) -> Mapping[str, Any]:
        """The configuration of the checkpoint."""
        from transformers import PretrainedConfig

        config, _ = PretrainedConfig.get_config_dict(str(self._model.folder), local_files_only=True)
        return config

    @cached_property
    def _t5(self) -> Any:
        """The T5, with the checkpoint's output matrix. transformers 5 would tie it to the input embeddings."""
        from transformers import T5Config, T5ForConditionalGeneration

        config = T5Config.from_dict({**self._checkpoint_config, "model_type": "t5"})
        network = self._model.network(T5ForConditionalGeneration, config=config, dtype=self._dtype)
        own = part_of(weight_files(self._model.folder), "lm_head.")
        if not own:
            raise DataError(f"{self._model.folder} has no weights lm_head.*. Set `model.path` to a CLIP-FlanT5.")
        network.lm_head.weight = nn.Parameter(own["weight"].to(self._dtype), requires_grad=False)
        return network

    @cached_property
    def _projector(self) -> nn.Module:
        """The linear layers of the checkpoint's projector, with GELU between them."""
        weights = part_of(weight_files(self._model.folder), PROJECTOR)
        numbers = sorted({int(name.partition(".")[0]) for name in weights})
        if not numbers:
            raise DataError(f"{self._model.folder} has no weights {PROJECTOR}*. Set `model.path` to a CLIP-FlanT5.")
        shapes = [weights[f"{number}.weight"].shape for number in numbers]
        layers = [[nn.Linear(wide, out), nn.GELU()] for out, wide in shapes]
        network = nn.Sequential(*list(chain.from_iterable(layers))[:-1])
        network.load_state_dict(weights)
        return network.to(self._dtype).eval().requires_grad_(False)

    @cached_property
    def _vision(self) -> Any:
        """The vision tower, with the checkpoint's fine-tuned weights or the weights of the CLIP that it names."""
        from transformers import CLIPVisionConfig, CLIPVisionModel

        weights = part_of(weight_files(self._model.folder), VISION)
        if not weights:
            return self._tower.network(CLIPVisionModel, dtype=self._dtype)
        config = self._tower.helper(CLIPVisionConfig)
        return self._model.network(CLIPVisionModel, weights=weights, config=config, dtype=self._dtype)

    @cached_property
    def _has_vision_weights(self) -> bool:
        """Whether the checkpoint has weights of the vision tower. If not, `ClipT5Config.vision` has them."""
        return bool(part_of(weight_files(self._model.folder), VISION))

    @cached_property
    def _tower(self) -> Model:
        return Model(self._config.vision or self._checkpoint_config["mm_vision_tower"], "model.vision")

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPImageProcessorPil

        return self._tower.helper(CLIPImageProcessorPil)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._tokenizer_model.helper(AutoTokenizer)
