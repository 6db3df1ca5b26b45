"""Where an encoder's files lie, and how transformers and timm read them. A local folder never asks the network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from nanogen_core.errors import DataError
from nanogen_files import json_files
from nanogen_files.pretrained import from_pretrained, refuse_damaged
from nanogen_files.weights import read_weights
from nanogen_rae.families import Family
from nanogen_rae.perception import perception_encoder

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@frozen(slots=False)
class Source:
    """The model `path`, a folder or a name on the hub, of a family."""

    name: str  # the encoder's, for sentences
    path: str
    family: Family

    @cached_property
    def folder(self) -> Path | None:
        folder = Path(self.path).expanduser()
        return folder if folder.is_dir() else None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The vision part of a local folder's config.json; empty for a name on the hub, of which the table knows."""
        if self.folder is None:
            return {}
        try:
            content = json_files.read_object(self.folder / CONFIG)
        except DataError as error:
            raise DataError(f"{error} {self._missing()}") from error
        parts = [content.get(name) or {} for name in ("vision_config", "model_args")]
        if not all(isinstance(part, dict) for part in parts):
            raise DataError(f"`vision_config` or `model_args` of {self.folder / CONFIG} is no JSON object.")
        return parts[0] or {**content, **parts[1]}

    def number(self, names: Sequence[str], *, place: int) -> int | None:
        """The whole number under the first of these names that config.json has; of a list, the one at a place.

        None where there is none of them. Raises DataError for anything else than a whole number above 0.
        """
        name = next((name for name in names if self.facts.get(name) is not None), None)
        if name is None:
            return None
        value = self.facts[name]
        chosen = value[place] if isinstance(value, list) and value else value
        return json_files.whole_number({name: chosen}, name, f"{self.folder}/{CONFIG}")

    def files(self) -> list[Path]:
        """What is read of a local folder; empty for a name on the hub, of which the table knows. Raises DataError."""
        if self.folder is None:
            return []
        if not (self.folder / CONFIG).is_file():
            raise DataError(self._missing())
        return [self.folder / CONFIG, *sorted(self.folder.glob("*.safetensors"))]

    def load(self, side: int, dtype: torch.dtype) -> Any:
        """The frozen model for images of `side` pixels. Raises DataError where its files are not at hand."""
        readers = {"transformers": self._transformers, "timm": self._timm, "perception": self._perception}
        reader = readers[self.family.layout.library]
        try:
            with torch.random.fork_rng(devices=[]):  # building draws initial weights, which the files then replace
                model = reader(side)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise DataError(self._missing()) from error
        refuse_damaged(model, self.path)
        return model.to(dtype).eval().requires_grad_(False)

    def _transformers(self, side: int) -> Any:
        import transformers  # takes seconds, and only weights need it

        kind = getattr(transformers, self.family.layout.model)
        return from_pretrained(kind, self.path, use_safetensors=True, **self.family.load)

    def _timm(self, side: int) -> Any:
        """timm builds the model of the config.json, and is handed the weights, whose files it does not read itself. It
        resamples a position table to `side` as it takes them."""
        timm = _import_timm(self.name)
        name = f"local-dir:{self.folder}" if self.folder else f"hf-hub:{self.path}"
        given = {"state_dict": read_weights(self._file(WEIGHTS)), "source": ""}
        return timm.create_model(name, pretrained=True, num_classes=0, img_size=side, pretrained_cfg_overlay=given)

    def _perception(self, side: int) -> Any:
        """The network resamples its position table itself, for any side."""
        config, weights = (self._file(name) for name in (CONFIG, WEIGHTS))
        return perception_encoder(read_weights(weights), json_files.read_object(config))

    def _file(self, name: str) -> Path:
        """A file of the local folder, or of the hub. Raises OSError where it is not at hand."""
        if self.folder:
            if not (self.folder / name).is_file():
                raise FileNotFoundError(self.folder / name)
            return self.folder / name
        from huggingface_hub import hf_hub_download  # takes a while to import

        return Path(hf_hub_download(self.path, name))

    def _missing(self) -> str:
        what = f"{CONFIG} and {WEIGHTS} of {self.family.layout.model or 'a timm model'}"
        if self.folder:
            return f"The encoder {self.name!r} cannot be read from {self.folder}: put {what} there."
        return (
            f"The encoder {self.name!r} is not on this machine, and {self.path!r} could not be had from the Hugging "
            f"Face hub: put {what} into a folder and set the encoder's option `path` to it, or connect once (some "
            f"models need `hf auth login`)."
        )


def _import_timm(name: str) -> Any:
    try:
        import timm  # type: ignore[import-not-found, unused-ignore]
    except (ImportError, RuntimeError) as error:  # a torchvision for another torch raises the latter
        reason = str(error).splitlines()[0]
        raise DataError(
            f"The encoder {name!r} comes through timm, which cannot be imported here ({reason}): install timm together "
            f"with the torchvision that was built for your torch."
        ) from error
    return timm
