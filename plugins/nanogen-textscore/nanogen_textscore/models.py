"""Reads the models of metrics from a local folder or the Hugging Face hub. A local folder needs no network access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from safetensors import SafetensorError
from torch import Tensor

from nanogen_core.errors import DataError
from nanogen_files import hub
from nanogen_files.errors import cause, counted
from nanogen_files.hashing import file_hash, files_hash
from nanogen_files.pretrained import from_pretrained, refuse_damaged

SMALL = ("*.json", "*.txt", "*.model", "*.jinja")  # configuration, vocabularies, chat templates
CONFIG = "config.json"  # required: without it transformers uses the default sizes of the class
WEIGHTS = ("*.safetensors", "*.bin")  # in order of preference


@frozen(slots=False)
class Model:
    """A model in a folder or on the Hugging Face hub.

    Args:
        path: The folder, or the name on the hub.
        option: The option that `path` comes from, for error messages.
    """

    path: str
    option: str

    @cached_property
    def folder(self) -> Path:
        """The folder with all files, downloaded if needed. Raises DataError for missing files."""
        folder = self.plain_folder
        if not (folder / CONFIG).is_file():
            raise DataError(
                f"{self.path} has no {CONFIG}. Set the option `{self.option}` to a complete copy of the model."
            )
        if weight_files(folder):
            return folder
        if not self._local:
            for pattern in WEIGHTS:
                folder = self._downloaded(pattern)
                if weight_files(folder):
                    return folder
        raise DataError(
            f"{self.path} has no {' and no '.join(WEIGHTS)}. Set the option `{self.option}` to a model with weights."
        )

    @cached_property
    def plain_folder(self) -> Path:
        """The folder of the configuration and vocabulary. Does not download weights. Raises DataError if a model of the
        hub can be neither downloaded nor found in the cache."""
        return Path(self.path).expanduser() if self._local else self._downloaded()

    @cached_property
    def settings(self) -> dict[str, str]:
        """The name of the model, the SHA-256 of its weights and `small_digest`. A score records them as settings.

        If the weights are one file, the SHA-256 is that of the file.
        """
        name = Path(self.path).name if self._local else self.path
        weights = weight_files(self.folder)
        digest = file_hash(weights[0]) if len(weights) == 1 else files_hash(self.folder, weights)
        return {"model": name, "weights": digest, "files": self.small_digest}

    @cached_property
    def small_digest(self) -> str:
        """The SHA-256 of the configuration, vocabulary and chat template."""
        folder = self.plain_folder
        return files_hash(folder, (file for pattern in SMALL for file in folder.glob(pattern)))

    def network(self, kind: Any, *, weights: Mapping[str, Tensor] | None = None, **options: Any) -> Any:
        """Load a network, frozen and in evaluation mode.

        Args:
            kind: A transformers model class.
            weights: The weights. None: read the files.
            options: Arguments of `from_pretrained`.

        Raises:
            DataError: A file is damaged, or a weight is missing.
        """
        given = {} if weights is None else {"state_dict": dict(weights)}
        folder = self.folder if weights is None else None
        loaded, report = self._read(kind, folder, output_loading_info=True, **given, **options)
        missing = sorted(set(report["missing_keys"]) & {name for name, _ in loaded.named_parameters()})
        if missing:
            raise DataError(
                f"{self.path} lacks {counted(len(missing), 'weight')} of {kind.__name__}, such as {missing[0]}. Set"
                f" the option `{self.option}` to a {kind.__name__}."
            )
        refuse_damaged(loaded, self.path)
        return loaded.eval().requires_grad_(False)

    def helper(self, kind: Any, **options: Any) -> Any:
        """Load a tokenizer, processor or configuration by `kind.from_pretrained`. Reads no weights."""
        return self._read(kind, self.plain_folder, **options)

    @property
    def _local(self) -> bool:
        return Path(self.path).expanduser().is_dir()

    def _read(self, kind: Any, folder: Path | None, **options: Any) -> Any:
        try:
            with torch.random.fork_rng(devices=[]), _quiet():  # initialisation draws random weights
                return from_pretrained(kind, folder, local_files_only=True, **options)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(
                f"{folder or self.path} cannot be read as {kind.__name__} ({cause(error)}). Set the option "
                f"`{self.option}` to a complete copy of a suitable model."
            ) from error

    def _downloaded(self, *patterns: str) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError

        try:
            local = not hub.can_download(self.path)
            return Path(snapshot_download(self.path, allow_patterns=[*SMALL, *patterns], local_files_only=local))
        except (OSError, ValueError, RuntimeError, HFValidationError) as error:
            raise DataError(
                hub.missing(
                    "The model",
                    self.path,
                    f"Set the option `{self.option}` to a local copy, or name a model of the hub and connect to the"
                    " network once.",
                    error,
                )
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bar and loading report. `Model.network` raises for missing weights itself."""
    from transformers.utils import logging

    untyped: Any = logging
    level, bars = untyped.get_verbosity(), untyped.is_progress_bar_enabled()
    untyped.set_verbosity_error()
    untyped.disable_progress_bar()
    try:
        yield
    finally:
        untyped.set_verbosity(level)
        if bars:
            untyped.enable_progress_bar()


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder: `*.safetensors` or, without these, `*.bin`. The list may be empty."""
    for pattern in WEIGHTS:
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []
