"""Frozen Hugging Face text models. A caption becomes the hidden states after the final norm."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_core.tensors import Condition
from nanogen_files import hub, json_files
from nanogen_files.errors import cause
from nanogen_files.pretrained import from_pretrained, refuse_damaged
from nanogen_t2i.config import HFTextConfig
from nanogen_t2i.copies import to_device

log = logging.getLogger(__name__)

#: Widths of published encoders, so `nanogen plan` works without their files.
WIDTHS = {"Qwen/Qwen3-0.6B": 1024}
#: Classes of text encoders for which AutoModel would load a decoder or a vision part as well.
ENCODERS = ("T5EncoderModel", "UMT5EncoderModel", "MT5EncoderModel", "CLIPTextModel", "CLIPTextModelWithProjection")
PIPELINE = "model_index.json"
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
    """A text model from a folder or the Hugging Face hub.

    Texts are right-padded and have no chat template. Weights are read from safetensors on first use.
    """

    def __init__(self, config: HFTextConfig):
        self.max_length = config.max_length
        self._config = config
        self._device = torch.device("cpu")
        self._warned = False  # whether a truncated caption was logged, which happens once

    @property
    def source(self) -> str:
        """The folder of the model, or its name on the hub."""
        return self._config.path

    @cached_property
    def width(self) -> int:
        """D, the width of a token state. Reads only the model's configuration."""
        return WIDTHS.get(self.source) or self._hidden_size()

    def to(self, device: torch.device | str) -> HFText:
        """Run later calls on a device. Returns self."""
        self._device = torch.device(device)
        return self

    def weights(self) -> Mapping[str, Tensor]:
        """Return the tensors that encodings depend on."""
        return dict(self._model.state_dict())

    def files(self) -> list[Path]:
        """Return the files that are read from a local folder. The list is empty for a name on the hub."""
        folders = [Path(place).expanduser() for place in (self.source, self._tokenizer_source)]
        return sorted(
            {file for folder in folders for pattern in READ for file in folder.glob(pattern) if file.is_file()}
        )

    def library_models(self) -> Mapping[str, Any]:
        """Return the models of transformers: `{"text_encoder": model, "tokenizer": tokenizer}`."""
        return {"text_encoder": self._model, "tokenizer": self._tokenizer}

    def set_library_models(self, models: Mapping[str, Any]) -> None:
        """Use the model `text_encoder`, if given, instead of loading it. The tokenizer is loaded from its files."""
        if "text_encoder" in models:
            model = models["text_encoder"].to(getattr(torch, self._config.dtype))
            self.__dict__["_model"] = model.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], length: int) -> Condition:
        """Encode texts.

        A text without tokens has an all-false mask. Qwen's tokenizer gives the empty text no tokens.

        Args:
            texts: B texts.
            length: Number of tokens to truncate to.

        Returns:
            States [B, L, D] float32, zero at padding, with a mask [B, L]. L is the number of tokens of the longest text
            after truncation, at least 1.

        Raises:
            DataError: The model cannot be read.
        """
        tokens, mask = self.tokenize(texts, length)  # [B, L], [B, L]
        rows = mask.any(dim=1).nonzero()[:, 0]
        if not len(rows):
            tokens, mask = tokens.new_zeros(len(texts), 1), mask.new_zeros(len(texts), 1)
        states = torch.zeros(*tokens.shape, self.width, device=self._device)
        if len(rows):
            states[to_device(rows, self._device)] = self._states(tokens[rows], mask[rows])
        return Condition(states, to_device(mask, self._device))

    def tokenize(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Tokenize texts, truncated to `length` tokens and padded to the longest.

        Returns token ids and a mask, both [B, n] on the CPU.
        """
        found = self._tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
        self._warn_truncated(texts, length)
        return found["input_ids"].long(), found["attention_mask"].bool()

    def _states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the states [B, n, D] of texts with at least one token each; padding is zero."""
        tokens, mask = (to_device(tensor, self._device) for tensor in (tokens, mask))
        states: Tensor = self._model.to(self._device)(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return states.float() * mask[..., None]

    def _warn_truncated(self, texts: Sequence[str], length: int) -> None:
        if self._warned:
            return
        longest = max(texts, key=len)
        count = len(self._tokenizer(longest, verbose=False)["input_ids"])
        if count > length:
            self._warned = True
            log.warning("Captions are truncated to %d tokens, such as one of %d: %.60s...", length, count, longest)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = self._loaded(AutoTokenizer, self._tokenizer_source, padding_side="right")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        import transformers

        kind = getattr(transformers, self._encoder_class)
        with _without_progress_bar():
            model = self._loaded(kind, use_safetensors=True, dtype=getattr(torch, self._config.dtype))
        if getattr(model.config, "is_encoder_decoder", False):
            raise DataError(
                f"The model {self.source} is an encoder with a decoder. Set `encoder.path` to a folder with its encoder"
                " alone, such as one saved as T5EncoderModel."
            )
        refuse_damaged(model, self.source)
        return model.eval().requires_grad_(False)

    def _hidden_size(self) -> int:
        file = Path(self.source).expanduser() / "config.json"
        if "hidden_size" in self._settings:
            return json_files.whole_number(self._settings, "hidden_size", file)
        from transformers import AutoConfig

        return int(self._loaded(AutoConfig).hidden_size)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """The config.json of a local folder; empty for a name on the hub."""
        file = Path(self.source).expanduser() / "config.json"
        return json_files.read_object(file) if file.is_file() else {}

    def _refuse_pipeline(self, folder: Path) -> None:
        """Raise DataError if the folder contains a whole pipeline of diffusers."""
        if (folder / PIPELINE).is_file() and not (folder / "config.json").is_file():
            parts = sorted(str(file.parent) for file in folder.glob("text_encoder*/config.json"))
            raise DataError(
                f"{folder} contains a whole pipeline of diffusers. Set `encoder.path` to the folder of a text encoder"
                f" (in this pipeline: {', '.join(parts) or 'none'})."
            )

    @property
    def _encoder_class(self) -> str:
        """The transformers class: the one in config.json if it is an encoder without its decoder or vision part."""
        named = self._settings.get("architectures")
        name = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
        return name if name in ENCODERS else "AutoModel"

    @property
    def _tokenizer_source(self) -> str:
        """Folder or hub name of the tokenizer: the model's, or FOLDER/tokenizer for FOLDER/text_encoder of
        diffusers."""
        folder = Path(self.source).expanduser()
        beside = folder.with_name(folder.name.replace("text_encoder", "tokenizer"))
        if any(folder.glob("tokenizer*")) or beside == folder or not beside.is_dir():
            return self.source
        return str(beside)

    def _loaded(self, kind: Any, source: str | None = None, **options: Any) -> Any:
        """Load by `kind.from_pretrained`. Raises DataError if that fails. A local folder needs no network access."""
        folder = Path(self.source).expanduser()
        self._refuse_pipeline(folder)
        try:
            return from_pretrained(kind, source or self.source, **options)
        except (OSError, ValueError) as error:
            raise DataError(
                hub.missing(
                    "The text encoder",
                    self.source,
                    "Set `encoder.path` to a local copy, or name a model of the hub and connect to the network once.",
                    error,
                )
                if not folder.is_dir()
                else f"The text encoder in {folder} cannot be read ({cause(error)}). Set `encoder.path` to a folder "
                f"with config.json, a tokenizer and safetensors weights."
            ) from error


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """Hide transformers' progress bar, which would interrupt the bar of a training run."""
    from transformers.utils import logging as transformers_logging

    bars: Any = transformers_logging  # untyped
    enabled = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            bars.enable_progress_bar()
