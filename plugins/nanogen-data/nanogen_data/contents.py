"""Hashes of the files and weights that components read.

For every kind of component, these are hashed:

- The file or folder that a string option names, if it exists. Of a run or saved pipeline, only the files of the
  pipeline are hashed, so that later scores and checkpoints of a run do not change the hash.
- Further files, as listed by the component's `files()`.
- If none of these files has the suffix of a weights file: the tensors of the component's `weights()`, or else of its
  `state_dict()`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

import attrs
from torch import Tensor

from nanogen_core.named_components import options_of
from nanogen_core.resolved import Resolved
from nanogen_data.roots import is_url
from nanogen_data.saved_pipelines import saved_files
from nanogen_files import storage
from nanogen_files.hashing import content_hash, files_hash
from nanogen_files.hub import address_folder, is_address
from nanogen_files.structure import plain

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
DATA = ("dataset", "metric")  # kinds whose paths locate data and do not identify the model


def of(part: Any, *, state: bool = True) -> dict[str, str]:
    """Return the hashes of what a component reads.

    Args:
        part: The component.
        state: Whether to hash `state_dict()` if there is no `weights()`. Use False for components whose state changes,
            such as trained networks and metrics.

    Returns:
        Hashes by name: the dotted name of an option that is a path, such as `"features.weights"`; `"files"` for
        `files()`; `"weights"` for tensors. Empty if the component reads nothing.
    """
    paths = dict(_option_paths(options_of(part)))
    files = files_of(part)
    hashes = {name: path_hash(path) for name, path in paths.items()}
    if files:
        hashes["files"] = _hash_of(files)
    known = any(map(_has_weights, [*files, *paths.values()]))
    return hashes if known else {**hashes, **_tensors(part, state)}


def of_values(values: Any) -> dict[str, str]:
    """Return the hash of each existing path among plain values, by the dotted name of the value."""
    return {name: path_hash(path) for name, path in _existing_paths(_texts(values, ""))}


def path_hash(path: Path) -> str:
    """Return the hash of a file or folder. In the folder of a run, only the files of the pipeline are hashed."""
    saved = saved_files(path) if path.is_dir() else []
    return files_hash(path, saved) if saved else content_hash(path)


def options(config: Any) -> dict[str, Any]:
    """Return the options of a component as plain values, with hashes in place of existing paths."""
    if config is None:
        return {}
    texts = {name: f"sha256:{path_hash(path)}" for name, path in _option_paths(config)}
    return {name: _replaced(value, texts, name) for name, value in plain(config).items()}


def configuration(resolved: Resolved) -> dict[str, Any]:
    """Return a configuration as plain values. Except in datasets and metrics, hashes replace existing paths."""
    values = resolved.as_dict()
    for kind, part in resolved.slots.items():
        if kind not in DATA:
            values[kind] = {"name": part.written, **options(part.config)}
    for kind, members in resolved.groups.items():
        if kind not in DATA and kind in values:
            values[kind] = {**values[kind], **{name: options(part.config) for name, part in members.items()}}
    for name, section in resolved.sections.items():
        if callable(getattr(section, "contents", None)):
            values[name] = {**values[name], **section.contents()}
    return values


def model_configuration(resolved: Resolved) -> dict[str, Any]:
    """Return the `configuration` without metrics, and with `""` in place of the paths of the dataset.

    The values are therefore the same on a machine that has the training data in another folder or not at all. Metrics
    do not change them: the settings of a score have their own hashes of its requests and of the metric's files.
    """
    values = {kind: value for kind, value in configuration(resolved).items() if kind != "metric"}
    dataset = resolved.slots.get("dataset")
    if dataset is not None:
        declared = {*_declared_paths(dataset.config)}
        texts = {name: "" for name, text in _option_texts(dataset.config) if name in declared or _locates_data(text)}
        values["dataset"] = _replaced(values["dataset"], texts, "")
    return values


def files_of(part: Any) -> list[Path]:
    """Return the files that a component's `files()` lists."""
    return sorted(Path(file) for file in _call(part, "files") or ())


def small_files_hash(part: Any) -> str | None:
    """Return the hash of a component's files other than weights, such as a vocabulary; None if there are none."""
    other = [file for file in files_of(part) if not _has_weights(file)]
    return _hash_of(other) if other else None


def weights_hash(part: Any) -> str | None:
    """Return the SHA-256 of a component's tensors (`weights()`, or else `state_dict()`); None if it has no tensors."""
    return _tensors(part, state=True).get("weights")


def _tensors(part: Any, state: bool) -> dict[str, str]:
    tensors: Mapping[str, Tensor] = _call(part, "weights") or (_call(part, "state_dict") if state else None) or {}
    return {"weights": storage.tensors_hash(tensors)} if tensors else {}


def _call(part: Any, method: str) -> Any:
    """Call an optional method without arguments; None if the component does not have it."""
    function = getattr(part, method, None)
    if not callable(function):
        return None
    parameters = inspect.signature(function).parameters.values()
    return None if any(p.default is p.empty and p.kind not in VARIABLE for p in parameters) else function()


def _hash_of(files: Iterable[Path]) -> str:
    """Return a hash over names and contents that does not depend on the folder."""
    listed = list(files)
    return files_hash(Path(os.path.commonpath([file.absolute().parent for file in listed])), listed)


def _has_weights(path: Path) -> bool:
    if path.is_dir():
        return any(file.suffix in WEIGHTS for file in path.iterdir())
    return path.suffix in WEIGHTS


def _option_paths(config: Any) -> Iterator[tuple[str, Path]]:
    """Yield the options that are existing paths, by dotted name."""
    yield from _existing_paths(_option_texts(config))


def _option_texts(config: Any) -> Iterator[tuple[str, str]]:
    """Yield the options that are texts, by dotted name, without choices and the names of components."""
    if config is None:
        return
    values = plain(config)
    attrs.resolve_types(type(config))
    choices = {field.name for field in attrs.fields(type(config)) if get_origin(field.type) is Literal}
    yield from _texts({name: value for name, value in values.items() if name not in choices}, "")


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from () if key == "name" else _texts(item, _dotted(name, key))  # a component's name is not a path
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts(item, _dotted(name, index))
    elif isinstance(value, str):
        yield name, value


def _existing_paths(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Path]]:
    for name, text in texts:
        path = _existing(text)
        if path is not None:
            yield name, path


def _declared_paths(value: Any, name: str = "", declared: bool = False) -> Iterator[str]:
    """Yield the options that are declared as paths, by dotted name: of type Path, or with the metadata `path`."""
    if isinstance(value, Path) or (declared and isinstance(value, str)):
        yield name
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _declared_paths(item, _dotted(name, index), declared)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            option = getattr(value, field.name), _dotted(name, field.name)
            yield from _declared_paths(*option, field.metadata.get("path", False))


def _locates_data(text: str) -> bool:
    """Return whether a text has the form of a path or URL, or is the path of an existing file or folder."""
    return is_url(text) or os.path.isabs(os.path.expanduser(text)) or _existing(text) is not None


def _replaced(value: Any, texts: Mapping[str, str], name: str) -> Any:
    """Replace the values whose dotted names are in `texts`."""
    if isinstance(value, Mapping):
        return {key: _replaced(item, texts, _dotted(name, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, texts, _dotted(name, index)) for index, item in enumerate(value)]
    return texts.get(name, value)


def _dotted(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _existing(text: str) -> Path | None:
    """Return the text as a path if it exists."""
    try:
        path = address_folder(text) if is_address(text) else Path(text).expanduser()
        return path if text.strip() and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL character, an unknown user
        return None
