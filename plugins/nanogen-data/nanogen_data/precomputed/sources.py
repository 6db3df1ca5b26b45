"""Which dataset reads what lies at a place: every installed one is asked, and none is known here by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanogen_core.config import Resolved, resolve
from nanogen_core.errors import DataError, near_miss
from nanogen_core.registry import Registry, import_object, registry


def with_source(raw: Mapping[str, Any], source: str) -> Resolved:
    """A configuration whose dataset reads `source`: a folder, a pattern of files, or the name of a dataset.

    A dataset says by `recognises(source)` whether its `root` may name it; that of the configuration comes first.
    Raises DataError where none does, or several.
    """
    before = resolve(raw)
    dataset = before.slots["dataset"].name
    words = before.slots["task"].chosen.component.needs.get("dataset", frozenset())
    known = registry()
    able = known.providing("dataset", words)
    if source in able and not Path(source).exists():
        return resolve(raw, {"dataset": {"name": source}})
    found = [name for name in able if _recognises(known, name, source)]
    if dataset in found:
        found = [dataset]
    if len(found) != 1:
        raise DataError(_unclear(source, found) if found else _unknown(source, able, known))
    return resolve(raw, {"dataset": {"name": found[0], "root": source}})


def _recognises(known: Registry, name: str, source: str) -> bool:
    offer = known.components["dataset"][name][0]
    recognises = getattr(import_object(offer.what.target), "recognises", None)
    return recognises is not None and bool(recognises(source))


def _unclear(source: str, found: list[str]) -> str:
    names = " or ".join(f"--set dataset.name={name}" for name in found)
    return f"{source} could be read by several datasets: say {names}."


def _unknown(source: str, able: list[str], known: Registry) -> str:
    readable = "; ".join(f"{name}: {known.components['dataset'][name][0].what.summary}" for name in able)
    there = Path(source).expanduser().exists()
    what = "is of no format that an installed dataset reads" if there else "does not exist"
    return f"{source} {what}.{near_miss(source, able)} Those that this task can read: {readable}."
