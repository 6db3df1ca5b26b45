"""Facts about a pipeline and its run that a model card states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from nanogen_core.config import import_object
from nanogen_core.errors import NanoGenError
from nanogen_core.pipeline import Pipeline
from nanogen_core.resolved import Part, Resolved
from nanogen_files import storage
from nanogen_train.checkpoint.paths import steps_in
from nanogen_train.trainer.run_folder import RECORD

CORE = "nanogen-core"


def parts_of(config: Resolved) -> Iterator[tuple[str, Part]]:
    """Yield the components of a configuration with their kinds."""
    yield from config.slots.items()
    for kind, members in config.groups.items():
        yield from ((kind, part) for part in members.values())


def distributions(config: Resolved) -> dict[str, str]:
    """Return the installed distributions that a pipeline needs, with their versions."""
    names = {CORE, *filter(None, (part.chosen.distribution for _, part in parts_of(config) if part.instance is None))}
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a plugin file
            continue
    return found


def not_installable(config: Resolved) -> list[str]:
    """Describe the components that no installed distribution provides: objects, and components of a plugin file."""
    known = distributions(config)
    found = []
    for kind, part in parts_of(config):
        if part.instance is not None:
            found.append(f"{kind}: the Python class {type(part.instance).__qualname__}")
        elif part.chosen.distribution not in known:
            found.append(f"{kind} {part.name!r} of the plugin {part.chosen.distribution}")
    return found


def licences(config: Resolved) -> dict[str, str]:
    """Return the licences that components declare by an attribute `licence`: `"dataset openmoji"` -> licence."""
    found = {}
    for kind, part in parts_of(config):
        if part.instance is None:
            try:
                licence = getattr(import_object(part.chosen.component.target), "licence", None)
            except NanoGenError:
                licence = None
            if isinstance(licence, str):
                found[f"{kind} {part.name}"] = licence
    return found


def steps(run: Path | None) -> int | None:
    """Return the step of the newest checkpoint in the run. None without a run or checkpoint."""
    found = [] if run is None else steps_in(run)
    return found[-1] if found else None


def data_facts(run: Path | None) -> Mapping[str, Any]:
    """Return the facts of the training data that the run recorded; empty if unknown."""
    if run is None or not (run / RECORD).is_file():
        return {}
    record = storage.read_json(run / RECORD)
    data = record.get("data") if isinstance(record, dict) else None
    return data if isinstance(data, dict) else {}


def flat_state(pipeline: Pipeline) -> dict[str, Tensor]:
    """Return the saved tensors, named `part.tensor`. A score stores the hash of these tensors in `about["weights"]`."""
    return {f"{part}.{name}": tensor for part, state in pipeline.state().items() for name, tensor in state.items()}


def trained_parts(pipeline: Pipeline) -> dict[str, int]:
    """Return the number of values in the parameters and buffers of each saved part."""
    return {name: sum(tensor.numel() for tensor in state.values()) for name, state in pipeline.state().items()}
