"""Loads encoders from a local folder or the Hugging Face hub. A local folder is read without network access."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_files import hub, json_files
from nanogen_files.errors import cause
from nanogen_files.pretrained import from_pretrained, refuse_damaged
from nanogen_files.weights import read_weights
from nanogen_rae.families import Family
from nanogen_rae.perception import perception_encoder

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@frozen(slots=False)
class Source:
    """The files of an encoder.

    Args:
        name: Name of the encoder, for error messages.
        path: A local folder, or a name on the Hugging Face hub.
        family: Family of the encoder.
    """

    name: str
    path: str
    family: Family

    @cached_property
    def folder(self) -> Path | None:
        folder = Path(self.path).expanduser()
        return folder if folder.is_dir() else None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The model's entries in the local config.json. The dict is empty for a name on the hub.

        The entries are `vision_config` if there is one, else the whole content updated by `model_args`.
        """
        if self.folder is None:
            return {}
        try:
            content = json_files.read_object(self.folder / CONFIG)
        except DataError as error:
            raise DataError(f"{error} {self._missing()}") from error
        parts = [content.get(name) or {} for name in ("vision_config", "model_args")]
        if not all(isinstance(part, dict) for part in parts):
            raise DataError(
                f"`vision_config` and `model_args` in {self.folder / CONFIG} must be JSON objects. Correct the file."
            )
        return parts[0] or {**content, **parts[1]}

    def number(self, names: Sequence[str], *, place: int) -> int | None:
        """Return a whole number from `facts`: the value of the first of `names` that is set.

        Args:
            names: Keys, in order of preference.
            place: If the value is a list, the index of the number in the list.

        Returns:
            The number. None if all keys are missing or null, as for a name on the hub.

        Raises:
            DataError: config.json cannot be read, or the number is not a whole number from 1 to 10^9 - 1.
        """
        name = next((name for name in names if self.facts.get(name) is not None), None)
        if name is None:
            return None
        value = self.facts[name]
        chosen = value[place] if isinstance(value, list) and value else value
        number: int = json_files.whole_number({name: chosen}, name, f"{self.folder}/{CONFIG}")
        return number

    def files(self) -> list[Path]:
        """Return the files that the encoder reads from a local folder. Raises DataError if config.json is missing.

        The list is empty for a name on the hub.
        """
        if self.folder is None:
            return []
        if not (self.folder / CONFIG).is_file():
            raise DataError(self._missing())
        return [self.folder / CONFIG, *sorted(self.folder.glob("*.safetensors"))]

    def load(self, side: int, dtype: torch.dtype) -> Any:
        """Load the frozen model.

        Args:
            side: Side of its input in pixels.
            dtype: The dtype of the weights.

        Raises:
            DataError: Files are missing or damaged.
        """
        readers = {"transformers": self._transformers, "timm": self._timm, "perception": self._perception}
        reader = readers[self.family.layout.library]
        try:
            with torch.random.fork_rng(devices=[]):  # building the model draws random numbers
                model = reader(side)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise DataError(self._unreadable(error)) from error
        refuse_damaged(model, self.path)
        return model.to(dtype).eval().requires_grad_(False)

    def _transformers(self, side: int) -> Any:
        import transformers  # not at the top: the import takes seconds

        kind = getattr(transformers, self.family.layout.model)
        return from_pretrained(kind, self.path, use_safetensors=True, **self.family.load)

    def _timm(self, side: int) -> Any:
        """timm builds the model of config.json with weights that are read here. It resamples positions to `side`."""
        timm = _import_timm(self.name)
        name = f"local-dir:{self.folder}" if self.folder else f"hf-hub:{self.path}"
        given = {"state_dict": read_weights(self._file(WEIGHTS)), "source": ""}
        return timm.create_model(name, pretrained=True, num_classes=0, img_size=side, pretrained_cfg_overlay=given)

    def _perception(self, side: int) -> Any:
        """The network resamples its positions in the forward pass, so that `side` is unused."""
        config, weights = (self._file(name) for name in (CONFIG, WEIGHTS))
        return perception_encoder(read_weights(weights), json_files.read_object(config))

    def _file(self, name: str) -> Path:
        """Return a file of the local folder or of the hub. Raises OSError if it is missing."""
        if self.folder:
            if not (self.folder / name).is_file():
                raise FileNotFoundError(self.folder / name)
            return self.folder / name
        return hub.model_file(self.path, name)

    def _missing(self) -> str:
        """Return the error message for a local folder without config.json, or with a damaged one."""
        return f"The encoder {self.name!r} cannot be read from {self.folder}. Put {self._needed} into the folder."

    def _unreadable(self, error: Exception) -> str:
        if self.folder:
            return (
                f"The encoder {self.name!r} cannot be read from {self.folder} ({cause(error)}). "
                f"Put {self._needed} into the folder."
            )
        return hub.missing(
            f"The encoder {self.name!r} cannot be read:",
            self.path,
            f"Put {self._needed} into a folder and set the encoder's option `path` to it, or name a model of the hub"
            " and connect to the network once (some models need `hf auth login`).",
            error,
        )

    @property
    def _needed(self) -> str:
        return f"{CONFIG} and {WEIGHTS} of {self.family.layout.model or 'a timm model'}"


def _import_timm(name: str) -> Any:
    try:
        import timm  # type: ignore[import-not-found, unused-ignore]
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision was built for another torch
        reason = str(error).splitlines()[0]
        raise DataError(
            f"The encoder {name!r} needs timm, which cannot be imported ({reason}). Install timm together with the "
            f"torchvision that was built for your torch."
        ) from error
    return timm
