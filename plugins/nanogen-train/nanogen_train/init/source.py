"""The weights that `train.init` names: a run, a saved pipeline, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor

from nanogen_core.config import CONFIG
from nanogen_core.errors import ConfigError, DataError
from nanogen_core.pipeline import FACTS, LEARNING, WEIGHTS, Pipeline
from nanogen_data.contents import path_hash
from nanogen_data.saved_pipelines import saved_files
from nanogen_files import reading, storage, yaml_files
from nanogen_files.hub import with_folder
from nanogen_files.weights import read_weights, refuse_nonfinite
from nanogen_train.adapters.base import has_adapter

BACKBONE = WEIGHTS.format("backbone")
TOKENIZER = "tokenizer"


@frozen(kw_only=True)
class Source:
    """Pretrained weights.

    Args:
        path: The folder or file.
        sha256: Hash of its contents.
        states: Tensors by part ("backbone", "conditioner", "objective", "tokenizer") and name.
        config: The configuration that the weights were trained with. Empty if unknown.
        facts: The content of `pipeline.json`. Empty if unknown.
    """

    path: Path
    sha256: str
    states: Mapping[str, Mapping[str, Tensor]]
    config: Mapping[str, Any]
    facts: Mapping[str, Any]


def find(text: str) -> Path:
    """Return the path of the pretrained weights that `train.init` names.

    Raises:
        ConfigError: There is no such file or folder, or the folder contains no saved pipeline with a backbone.
    """
    path = reading.user_path(text)
    if reading.is_file(path):
        return path
    if not reading.is_folder(path):
        raise ConfigError(
            f"train.init: {text} does not exist. Give the folder of a run or saved pipeline, or a file of weights."
        )
    if not saved_files(path):
        raise ConfigError(
            f"train.init: the folder {text} contains no saved pipeline ({FACTS} or {CONFIG} is missing). Give a"
            " folder with one. A run saves one with its first checkpoint."
        )
    if not (path / BACKBONE).is_file():
        raise ConfigError(f"train.init: the pipeline in {text} has no {BACKBONE}. Give a pipeline with this file.")
    return path


def read(text: str) -> Source:
    """Read the pretrained weights that `train.init` names. An adapter is merged into the backbone.

    Reads the backbone from a folder, and also the conditioner, the objective and a trained tokenizer if present.

    Raises:
        ConfigError: See `find`.
        DataError: A file is damaged, or a tensor contains NaN or infinity.
    """
    path = find(text)
    sha256 = path_hash(path)
    folder = path if path.is_dir() else path.parent
    described = path.is_dir() or path.name == BACKBONE
    config = with_folder(yaml_files.read(folder / CONFIG), folder) if described and (folder / CONFIG).is_file() else {}
    facts = storage.read_json(folder / FACTS) if described and (folder / FACTS).is_file() else {}
    if not isinstance(facts, dict):
        raise DataError(f"{folder / FACTS} is damaged: it must be a JSON object. Give another pipeline.")
    if has_adapter(config):
        states: dict[str, dict[str, Tensor]] = _merged(folder)
    elif path.is_dir():
        known = (*LEARNING, TOKENIZER)
        parts = [part for part in known if part in facts.get("trained", known)]  # others have files of earlier saves
        states = {part: storage.read_tensors(file) for part in parts if (file := _file(path, part)).is_file()}
    else:
        states = {"backbone": read_weights(path)}
    for part, state in states.items():
        refuse_nonfinite(state, _file(path, part) if path.is_dir() else path)
    return Source(path=path, sha256=sha256, states=states, config=config, facts=facts)


def _file(folder: Path, part: str) -> Path:
    return folder / WEIGHTS.format(part)


def _merged(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a run with an adapter, merged into the weights."""
    from nanogen_train.adapters.merge import merged

    return merged(Pipeline.load(folder)).state()
