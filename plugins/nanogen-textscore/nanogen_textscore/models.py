"""Where a judge's network lies, and how it is read. A local folder never asks the network."""

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
from nanogen_files.hashing import file_hash, files_hash
from nanogen_files.pretrained import from_pretrained, refuse_damaged

SMALL = ("*.json", "*.txt", "*.model", "*.jinja")  # configuration, vocabularies, chat templates
CONFIG = "config.json"  # without which transformers would take the sizes of another model
WEIGHTS = ("*.safetensors", "*.bin")  # the second where there is none of the first


@frozen(slots=False)
class Model:
    """The model `path`, a folder or a name on the Hugging Face hub; `option` is the setting that names it."""

    path: str
    option: str

    @cached_property
    def folder(self) -> Path:
        """Its files with the weights. Raises DataError where they are not at hand."""
        folder = self.plain_folder
        if not (folder / CONFIG).is_file():
            raise DataError(f"{self.path} has no {CONFIG}: set the option `{self.option}` to a whole copy of a model.")
        if weight_files(folder):
            return folder
        if not self._local:
            for pattern in WEIGHTS:
                folder = self._downloaded(pattern)
                if weight_files(folder):
                    return folder
        raise DataError(f"{self.path} has no {' and no '.join(WEIGHTS)}: set the option `{self.option}` to a model.")

    @cached_property
    def plain_folder(self) -> Path:
        """Its files; without the weights where they are on the hub. Raises DataError where they are not at hand."""
        return Path(self.path).expanduser() if self._local else self._downloaded()

    @cached_property
    def settings(self) -> dict[str, str]:
        """What a score depends on: the model's name, its weights (the SHA-256 of the file, where it is one), and the
        small files beside them: configuration, vocabulary, chat template."""
        name = Path(self.path).name if self._local else self.path
        weights = weight_files(self.folder)
        digest = file_hash(weights[0]) if len(weights) == 1 else files_hash(self.folder, weights)
        return {"model": name, "weights": digest, "files": self.small_digest}

    @cached_property
    def small_digest(self) -> str:
        """The hash of the small files, of a tokenizer for example."""
        folder = self.plain_folder
        return files_hash(folder, (file for pattern in SMALL for file in folder.glob(pattern)))

    def network(self, kind: Any, *, weights: Mapping[str, Tensor] | None = None, **options: Any) -> Any:
        """`kind.from_pretrained`, frozen, with the weights of its files or these ones.

        Raises DataError for a damaged file, and where a weight is missing.
        """
        given = {} if weights is None else {"state_dict": dict(weights)}
        folder = self.folder if weights is None else None
        loaded, report = self._read(kind, folder, output_loading_info=True, **given, **options)
        missing = sorted(set(report["missing_keys"]) & {name for name, _ in loaded.named_parameters()})
        if missing:
            raise DataError(
                f"{self.path} lacks {len(missing)} weights of {kind.__name__}, such as {missing[0]}: set the option "
                f"`{self.option}` to a model of this kind."
            )
        refuse_damaged(loaded, self.path)
        return loaded.eval().requires_grad_(False)

    def helper(self, kind: Any, **options: Any) -> Any:
        """`kind.from_pretrained` of a tokenizer, a processor or a configuration, which need no weights."""
        return self._read(kind, self.plain_folder, **options)

    @property
    def _local(self) -> bool:
        return Path(self.path).expanduser().is_dir()

    def _read(self, kind: Any, folder: Path | None, **options: Any) -> Any:
        try:
            with torch.random.fork_rng(devices=[]), _quiet():  # building draws weights, which the files then replace
                return from_pretrained(kind, folder, local_files_only=True, **options)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"{folder or self.path} cannot be read as {kind.__name__} ({reason}): set the option "
                f"`{self.option}` to a whole copy of such a model."
            ) from error

    def _downloaded(self, *patterns: str) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError

        try:
            return Path(snapshot_download(self.path, allow_patterns=[*SMALL, *patterns]))
        except (OSError, ValueError, RuntimeError, HFValidationError) as error:
            raise DataError(
                f"The model {self.path!r} is no folder on this machine and could not be had from the Hugging Face "
                f"hub: set the option `{self.option}` to a local copy of it, or connect to the network once."
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and report: what is missing is an error here, and the rest means nothing."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()  # type: ignore[no-untyped-call]
    theirs.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()  # type: ignore[no-untyped-call]


def weight_files(folder: Path) -> list[Path]:
    """The files of weights in a folder: safetensors, or else PyTorch's."""
    for pattern in WEIGHTS:
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []
