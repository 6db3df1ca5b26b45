"""Replaces local paths in the configuration of a pipeline, so that no path of this machine is published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from nanogen_core.errors import DataError
from nanogen_core.pipeline import PARTS
from nanogen_data.saved_pipelines import saved_files
from nanogen_files import hub

SAMPLING = (*PARTS, "encoder", "guidance")  # kinds that generate images; the others train or evaluate
WEIGHTS = (".safetensors",)
COPIED = (*WEIGHTS, ".json", ".yaml", ".txt", ".model")
FOLDER = "frozen"


@frozen
class Public:
    """A configuration without paths of this machine.

    Attributes:
        config: The configuration.
        included: Option -> name of the frozen file or folder that was copied.
        left_out: Option -> name of the local file or folder that was not copied.
    """

    config: dict[str, Any]
    included: dict[str, str] = field(factory=dict)
    left_out: dict[str, str] = field(factory=dict)


def public(config: Mapping[str, Any], folder: Path, *, include: bool) -> Public:
    """Copy frozen models of local folders into `folder`, and return the configuration with their new paths.

    Args:
        config: Configuration of the pipeline.
        folder: Folder of the saved pipeline.
        include: Whether to copy local models that sampling needs. If false, such a model is an error.

    Raises:
        DataError: Sampling needs a local model, and `include` is false or the model has no safetensors file.
    """
    found = Public({})
    needed = {name: path for name, path in _local(config, "") if name.partition(".")[0] in SAMPLING and path.exists()}
    if needed and not include:
        name, path = next(iter(needed.items()))
        raise DataError(
            f"{name} is the local path {path}. Add --include-frozen (include_frozen=True) to upload a copy, if the"
            " model's licence permits that. If the model is on the hub, train with its name there instead."
        )
    places: dict[str, str] = {}
    for name, path in _local(config, ""):
        if name in needed:
            places[name] = f"{hub.FOLDER}/{_copied(name, path, folder)}"
            found.included[name] = path.name
        else:
            places[name] = path.name
            found.left_out[name] = path.name
    found.config.update(_replaced(config, places, ""))
    return found


def without_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values in which each local path is replaced by its last part."""
    replaced: dict[str, Any] = _replaced(values, {name: path.name for name, path in _local(values, "")}, "")
    return replaced


def _local(values: Any, name: str) -> Iterator[tuple[str, Path]]:
    """Yield the texts that are local paths, by dotted name: existing paths with a separator, and all absolute ones."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key != "name":
                yield from _local(value, f"{name}.{key}".lstrip("."))
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            yield from _local(value, f"{name}.{index}")
    elif isinstance(values, str) and values and not hub.is_address(values):
        path = Path(os.path.expanduser(values))
        if path.is_absolute() or (_is_model(name, path) and path.exists()):
            yield name, path


def _is_model(name: str, path: Path) -> bool:
    """Return whether a relative text is meant as a path: it has a separator or the suffix of a model's file, or the
    option has the name of one.

    The form decides, because a score and an outside plugin do not declare which of their texts are paths.
    """
    named = name.rpartition(".")[2] in ("path", "weights", "root", "teacher", "pipeline", "init")
    return named or len(path.parts) > 1 or path.suffix in COPIED


def _copied(name: str, path: Path, folder: Path) -> str:
    """Copy a model. Returns its path relative to the folder of the pipeline."""
    place = Path(FOLDER, name.replace(".", "-"))
    if path.is_file():
        files, source = [path], path.parent
    else:
        files, source = saved_files(path) or sorted(file for file in path.rglob("*") if file.is_file()), path
    files = [file for file in files if file.suffix in COPIED]
    if (not any(file.suffix in WEIGHTS for file in files) and path.is_dir()) or not files:
        raise DataError(
            f"{name} is {path}, which has no safetensors file. Pickled weights are not published: save the model as"
            " safetensors."
        )
    for file in files:
        target = folder / place / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return str(place / path.name if path.is_file() else place)


def _replaced(values: Any, places: Mapping[str, str], name: str) -> Any:
    if isinstance(values, Mapping):
        return {key: _replaced(value, places, f"{name}.{key}".lstrip(".")) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_replaced(value, places, f"{name}.{index}") for index, value in enumerate(values)]
    return places.get(name, values)
