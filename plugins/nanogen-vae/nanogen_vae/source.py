"""Where a VAE's files lie: in a local folder, or on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_files import json_files
from nanogen_files.pretrained import from_pretrained, refuse_damaged

CONFIG = "config.json"


@frozen
class Source:
    """A folder as diffusers saves it. A local one is never asked for on the network."""

    path: str
    subfolder: str | None = None

    @property
    def _folder(self) -> Path | None:
        folder = Path(self.path).expanduser()
        return folder if folder.is_dir() else None

    def config(self) -> dict[str, Any]:
        """The model's config.json, without its weights. Raises DataError where it is not at hand."""
        return json_files.read_object(self.config_file())

    def config_file(self) -> Path:
        """Raises DataError where it is not at hand."""
        return self._local_config() if self._folder else self._fetched_config()

    def load(self, class_name: str, dtype: torch.dtype) -> Any:
        """The model of a diffusers class with its safetensors weights. Raises DataError where they are not at hand."""
        import diffusers  # takes seconds, and only weights need it

        where = {"subfolder": self.subfolder} if self.subfolder else {}
        options = {"use_safetensors": True, "torch_dtype": dtype}
        try:
            model = from_pretrained(getattr(diffusers, class_name), self.path, **where, **options)
        except (OSError, ValueError) as error:
            raise DataError(self._missing(f"its {class_name} weights (safetensors)")) from error
        refuse_damaged(model, self.path)
        return model

    def _local_config(self) -> Path:
        folder = Path(str(self._folder), self.subfolder or "")
        if (folder / CONFIG).is_file():
            return folder / CONFIG
        hint = " It holds a whole pipeline: set `tokenizer.subfolder` to 'vae'." if (folder / "vae").is_dir() else ""
        raise DataError(
            f"There is no {CONFIG} in {folder}: set `tokenizer.path` to a folder that diffusers saved.{hint}"
        )

    def _fetched_config(self) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.path, CONFIG, subfolder=self.subfolder))
        except (OSError, ValueError) as error:
            raise DataError(self._missing(f"its {CONFIG}")) from error

    def _missing(self, what: str) -> str:
        if self._folder:
            return f"The VAE in {self._folder} lacks {what}, or it is damaged: save it again with diffusers."
        return (
            f"The VAE {self.path!r} is no folder on this machine, and {what} could not be had from the Hugging Face "
            f"hub: set `tokenizer.path` to a local copy, or connect once (some need `hf auth login`)."
        )
