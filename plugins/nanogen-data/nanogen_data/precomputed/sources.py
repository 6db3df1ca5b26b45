"""Find the dataset component that can read a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen_core.config import Resolved, resolve
from nanogen_core.errors import DataError, near_miss
from nanogen_core.registry import Registry, import_object, registry


def with_source(raw: Mapping[str, Any], source: str) -> Resolved:
    """Return the configuration with a dataset that reads `source`.

    A dataset component declares by `recognises(source)` whether it can read a source. The configuration's own dataset
    takes precedence.

    Args:
        raw: The configuration.
        source: A file, folder, pattern of files or URL, or the name of a dataset.

    Raises:
        DataError: No dataset recognises the source, or several do and none is the configured one. Or the configuration
            has `dataset.roots`, and the source is not the name of a dataset.
    """
    original = resolve(raw)
    dataset = original.slots["dataset"].name
    required = original.slots["task"].chosen.component.needs.get("dataset", frozenset())
    plugins = registry()
    candidates = plugins.providing("dataset", required)
    if source in candidates and not Path(source).exists():
        return resolve(raw, {"dataset": {"name": source}})
    if getattr(original.slots["dataset"].config, "roots", ()):
        raise DataError(
            f"The configuration has `dataset.roots`, so the source must be the name of the dataset, got {source}. Give "
            f"{dataset} to prepare all roots."
        )
    readers = [name for name in candidates if _recognises(plugins, name, source)]
    if dataset in readers:
        readers = [dataset]
    if len(readers) != 1:
        raise DataError(_ambiguous(source, readers) if readers else _unknown(source, candidates, plugins))
    return resolve(raw, {"dataset": {"name": readers[0], "root": source}})


def _recognises(plugins: Registry, name: str, source: str) -> bool:
    component = plugins.components["dataset"][name][0]
    recognises = getattr(import_object(component.what.target), "recognises", None)
    return recognises is not None and bool(recognises(source))


def _ambiguous(source: str, readers: list[str]) -> str:
    names = " or ".join(f"--set dataset.name={name}" for name in readers)
    return f"{source} can be read by several datasets: add {names}."


def _unknown(source: str, candidates: list[str], plugins: Registry) -> str:
    readable = "; ".join(f"{name}: {plugins.components['dataset'][name][0].what.summary}" for name in candidates)
    exists = Path(source).expanduser().exists()
    problem = "has a format that no installed dataset for this task reads" if exists else "does not exist"
    return f"{source} {problem}.{near_miss(source, candidates)} Datasets for this task: {readable}."
