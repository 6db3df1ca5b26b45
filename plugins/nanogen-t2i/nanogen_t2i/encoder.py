"""A frozen Hugging Face text model: captions to the hidden states after its final norm."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nanogen_core.errors import DataError
from nanogen_core.tensors import Condition
from nanogen_files import json_files
from nanogen_files.pretrained import from_pretrained, refuse_damaged
from nanogen_t2i.config import HFTextConfig

log = logging.getLogger(__name__)

#: Widths of published encoders, so that a model can be planned where their files are not.
WIDTHS = {"Qwen/Qwen3-0.6B": 1024}
READ = (
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.model",
    "*.safetensors",
)


class HFText:
    """Texts as they are, without a chat template, right-padded; weights are read from safetensors on first use."""

    def __init__(self, config: HFTextConfig):
        self.max_length = config.max_length
        self._config = config
        self._device = torch.device("cpu")
        self._cut = False  # whether a caption was too long, which is said once

    @property
    def source(self) -> str:
        """The local folder or the hub's name of the model."""
        return self._config.path

    @cached_property
    def width(self) -> int:
        """The width of a state, from the model's config alone."""
        return WIDTHS.get(self.source) or self._hidden_size()

    def to(self, device: torch.device | str) -> HFText:
        """Where texts are encoded from now on; returns the encoder itself."""
        self._device = torch.device(device)
        return self

    def weights(self) -> Mapping[str, Tensor]:
        """The tensors that `encode` depends on."""
        return dict(self._model.state_dict())

    def files(self) -> list[Path]:
        """What is read of a local folder: configuration, vocabulary and weights; empty for a name on the hub."""
        folder = Path(self.source).expanduser()
        return sorted({file for pattern in READ for file in folder.glob(pattern) if file.is_file()})

    @torch.no_grad()
    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Texts -> states [B, length, width] float32 and a mask [B, length]; padding is zero.

        A text without a token has an all-false mask (Qwen's tokenizer gives the empty text none). The model is called
        for the other texts only. Raises DataError where the model is not at hand.
        """
        tokens, mask = self.tokenize(texts, length)  # [B, n], [B, n]
        states = torch.zeros(len(texts), length, self.width, device=self._device)
        rows = mask.any(dim=1).nonzero()[:, 0]
        if len(rows):
            states[rows.to(self._device), : tokens.shape[1]] = self._states(tokens[rows], mask[rows])
        return Condition(states, F.pad(mask, (0, length - mask.shape[1])).to(self._device))

    def tokenize(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Token numbers and mask [B, n] on the CPU, padded to the longest text, which is cut at `length` tokens."""
        found = self._tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
        self._report_cut(texts, length)
        return found["input_ids"].long(), found["attention_mask"].bool()

    def _states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The states [B, n, width] of texts that have a token each; padding is zero."""
        tokens, mask = tokens.to(self._device), mask.to(self._device)
        states: Tensor = self._model.to(self._device)(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return states.float() * mask[..., None]

    def _report_cut(self, texts: Sequence[str], length: int) -> None:
        if self._cut:
            return
        longest = max(texts, key=len)
        count = len(self._tokenizer(longest, verbose=False)["input_ids"])
        if count > length:
            self._cut = True
            log.warning(
                "A caption of %d tokens was cut to %d, as are all longer ones: %.60s...", count, length, longest
            )

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = self._loaded(AutoTokenizer, padding_side="right")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModel

        with _without_progress_bar():
            model = self._loaded(AutoModel, use_safetensors=True, dtype=getattr(torch, self._config.dtype))
        refuse_damaged(model, self.source)
        return model.eval().requires_grad_(False)

    def _hidden_size(self) -> int:
        file = Path(self.source).expanduser() / "config.json"
        if file.is_file():
            return json_files.whole_number(json_files.read_object(file), "hidden_size", file)
        from transformers import AutoConfig

        return int(self._loaded(AutoConfig).hidden_size)

    def _loaded(self, kind: Any, **options: Any) -> Any:
        """`kind.from_pretrained`, which asks the network only where the source is no folder."""
        folder = Path(self.source).expanduser()
        try:
            return from_pretrained(kind, self.source, **options)
        except (OSError, ValueError) as error:
            raise DataError(
                f"The text encoder {self.source!r} is no folder on this machine and could not be had from the Hugging "
                f"Face hub: set `encoder.path` to a local copy of it, or connect to the network once."
                if not folder.is_dir()
                else f"The text encoder in {folder} cannot be read ({error}): it needs config.json, a tokenizer and "
                f"safetensors weights."
            ) from error


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Loading takes a second or two, and the bar would stand in the middle of a training run's own."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()  # type: ignore[no-untyped-call]
