"""Reads a VAE from a local folder or the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_files import hub, json_files
from nanogen_files.errors import cause
from nanogen_files.pretrained import from_pretrained, refuse_damaged

CONFIG = "config.json"


@frozen
class Source:
    """A folder that diffusers saved. A local folder is read without network access.

    Args:
        path: A local folder, or a name on the Hugging Face hub.
        subfolder: Folder of the VAE within `path`.
        options: Section of the configuration with the options `path` and `subfolder`, such as "tokenizer.vae". Error
            messages name it.
    """

    path: str
    subfolder: str | None = None
    options: str = "tokenizer"

    @property
    def _folder(self) -> Path | None:
        folder = Path(self.path).expanduser()
        return folder if folder.is_dir() else None

    def config(self) -> dict[str, Any]:
        """Read config.json. Raises DataError if it is missing."""
        return json_files.read_object(self.config_file())

    def config_file(self) -> Path:
        """Return the path of config.json. Raises DataError if it is missing."""
        return self._local_config() if self._folder else self._fetched_config()

    def load(self, class_name: str, dtype: torch.dtype) -> Any:
        """Load the model with its safetensors weights.

        Args:
            class_name: Name of the diffusers class.
            dtype: The dtype of the weights.

        Raises:
            DataError: The weights are missing or damaged.
        """
        import diffusers  # not at the top: the import takes seconds

        where = {"subfolder": self.subfolder} if self.subfolder else {}
        options = {"use_safetensors": True, "torch_dtype": dtype}
        try:
            model = from_pretrained(getattr(diffusers, class_name), self.path, **where, **options)
        except (OSError, ValueError) as error:
            raise DataError(self._missing(f"{class_name} weights (safetensors)", error)) from error
        refuse_damaged(model, self.path)
        return model

    def _local_config(self) -> Path:
        folder = Path(str(self._folder), self.subfolder or "")
        if (folder / CONFIG).is_file():
            return folder / CONFIG
        if (folder / "vae").is_dir():
            raise DataError(
                f"There is no {CONFIG} in {folder}, which contains a whole pipeline. Set `{self.options}.subfolder` to"
                " 'vae'."
            )
        if not folder.is_dir():
            named = f"`{self.options}.path` and `{self.options}.subfolder`"
            raise DataError(f"There is no folder {folder}: check {named}.")
        raise DataError(
            f"There is no {CONFIG} in {folder}. Set `{self.options}.path` to a folder that diffusers saved."
        )

    def _fetched_config(self) -> Path:
        try:
            return hub.model_file(self.path, CONFIG, self.subfolder)
        except (OSError, ValueError) as error:
            raise DataError(self._missing(CONFIG, error)) from error

    def _missing(self, files: str, error: Exception) -> str:
        if self._folder:
            return f"The VAE in {self._folder} has no readable {files} ({cause(error)}). Save it again with diffusers."
        return hub.missing(
            "The VAE",
            self.path,
            f"Set `{self.options}.path` to a local folder with its {files}, or name a model of the hub and connect to"
            " the network once (some models need `hf auth login`).",
            error,
        )
