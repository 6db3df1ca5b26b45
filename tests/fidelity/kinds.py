"""Kinds of fixtures. The file name of a fixture begins with the name of the module in `checks` that measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from tests.fidelity import checks
from tests.fidelity.measurement import Measurement

#: Fixtures that take minutes. `make equivalence` runs them.
TRAINING_CURVES = "training_curve"
#: Folder of networks in the published layout. Their file names are arbitrary.
NETWORKS = "networks"

Measure = Callable[[Path], Iterable[Measurement]]


def fixtures_in(folder: Path) -> list[Path]:
    """Return the sorted JSON files of a folder and of its `networks/`, and tensor files without a JSON file."""
    found: list[Path] = []
    for place in (folder, folder / NETWORKS):
        found += place.glob("*.json")
        found += (path for path in place.glob("*.safetensors") if not path.with_suffix(".json").exists())
    return sorted(found)


def is_training_curve(path: Path) -> bool:
    return path.suffix == ".json" and path.name.startswith(TRAINING_CURVES)


def measure_of(path: Path) -> Measure | None:
    """Return the function that measures a fixture, or None for an unknown kind. The longest matching name applies."""
    check = _check_of(path)
    return None if check is None else check.measure


def unknown(path: Path) -> str:
    """Return why `measure_of` has no function for this file, and what to change."""
    if path.suffix != ".json":
        return f"these tensors have no {path.stem}.json beside them"
    known = ", ".join(sorted(module.name for module in iter_modules(checks.__path__)))
    return f"the name must begin with one of {known} or {TRAINING_CURVES}; networks lie in {NETWORKS}/"


def notes_of(path: Path) -> Iterable[str]:
    """Return the notes of the check, such as fields that it does not compare."""
    notes = getattr(_check_of(path), "notes", None)
    return () if notes is None else notes(path)


def _check_of(path: Path) -> Any:
    if path.suffix != ".json":
        return None
    if path.parent.name == NETWORKS:
        return _imported(NETWORKS)
    names = [module.name for module in iter_modules(checks.__path__) if path.name.startswith(module.name)]
    return _imported(max(names, key=len)) if names else None


def _imported(name: str) -> Any:
    return import_module(f"{checks.__name__}.{name}")
