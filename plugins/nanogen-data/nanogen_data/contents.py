"""What parts depend on beside the values of their options: the contents of their files, and their weights, as hashes.

Every part of an assembly is asked the same way, whatever its kind:

- A text among its options that is the path of a file or folder stands for what lies there.
- `files()` gives further files that it reads. Those of weights are recognised by their suffix.
- `weights()`, or else `state_dict()`, gives tensors. It is asked where no file of weights is known.
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
from nanogen_files import storage
from nanogen_files.hashing import content_hash, files_hash
from nanogen_files.structure import plain

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
DATA = ("dataset", "metric")  # kinds whose paths say where data lie, and not what a model is


def of(part: Any, *, state: bool = True) -> dict[str, str]:
    """The hashes of what a part reads, by option (`"folder"`, `"features.weights"`), `"files"` and `"weights"`.

    Empty for a part that reads nothing. `state=False` leaves `state_dict()` out, for a part that learns or counts.
    """
    places = dict(_places(options_of(part)))
    files = files_of(part)
    found = {name: content_hash(place) for name, place in places.items()}
    if files:
        found["files"] = _hash_of(files)
    known = any(map(_has_weights, [*files, *places.values()]))
    return found if known else {**found, **_tensors(part, state)}


def of_values(values: Any) -> dict[str, str]:
    """The hashes of what the paths in plain values name, by their dotted names."""
    return {name: content_hash(place) for name, place in _paths(values, "")}


def options(config: Any) -> dict[str, Any]:
    """The options of a part as plain values, with the hash of what lies there in place of every path."""
    if config is None:
        return {}
    values, places = plain(config), dict(_places(config))
    return {name: _with_contents(value, places, name) for name, value in values.items()}


def configuration(resolved: Resolved) -> dict[str, Any]:
    """A configuration as plain values that are the same wherever its files lie."""
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


def files_of(part: Any) -> list[Path]:
    """The files that a part says it reads."""
    return sorted(Path(file) for file in _asked(part, "files") or ())


def small_files_hash(part: Any) -> str | None:
    """Of the files that a part reads beside those of weights: a configuration, a vocabulary; None where it has none."""
    small = [file for file in files_of(part) if not _has_weights(file)]
    return _hash_of(small) if small else None


def weights_hash(part: Any) -> str | None:
    """SHA-256 of the tensors that a part's `weights()`, or else its `state_dict()`, names; None where it has none."""
    return _tensors(part, state=True).get("weights")


def _tensors(part: Any, state: bool) -> dict[str, str]:
    given: Mapping[str, Tensor] = _asked(part, "weights") or (_asked(part, "state_dict") if state else None) or {}
    return {"weights": storage.tensors_hash(given)} if given else {}


def _asked(part: Any, method: str) -> Any:
    """What an optional method without arguments answers; None where the part has none."""
    found = getattr(part, method, None)
    if not callable(found):
        return None
    parameters = inspect.signature(found).parameters.values()
    return None if any(p.default is p.empty and p.kind not in VARIABLE for p in parameters) else found()


def _hash_of(files: Iterable[Path]) -> str:
    """Of names and contents, whatever folder the files lie in."""
    listed = list(files)
    return files_hash(Path(os.path.commonpath([file.absolute().parent for file in listed])), listed)


def _has_weights(place: Path) -> bool:
    if place.is_dir():
        return any(file.suffix in WEIGHTS for file in place.iterdir())
    return place.suffix in WEIGHTS


def _places(config: Any) -> Iterator[tuple[str, Path]]:
    """The options of a part that name something that is there, by their dotted names."""
    if config is None:
        return
    values = plain(config)
    attrs.resolve_types(type(config))
    chosen = {field.name for field in attrs.fields(type(config)) if get_origin(field.type) is Literal}
    yield from _paths({name: value for name, value in values.items() if name not in chosen}, "")


def _paths(value: Any, name: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from () if key == "name" else _paths(item, _joined(name, key))  # the name of a component is no path
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _paths(item, _joined(name, place))
    elif isinstance(value, str) and (path := _existing(value)) is not None:
        yield name, path


def _with_contents(value: Any, places: Mapping[str, Path], name: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_contents(item, places, _joined(name, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_contents(item, places, _joined(name, place)) for place, item in enumerate(value)]
    return f"sha256:{content_hash(places[name])}" if name in places else value


def _joined(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _existing(text: str) -> Path | None:
    """The path that a text is, where something lies there."""
    try:
        path = Path(text).expanduser()
        return path if text.strip() and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, an unknown user
        return None
