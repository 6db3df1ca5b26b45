"""Which tars a setting means: a folder, a glob or a brace pattern."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from webdataset.shardlists import expand_urls  # type: ignore[import-untyped]

from nanogen_core.errors import DataError, listing

MAGIC = frozenset("*?[{")


def is_pattern(text: str) -> bool:
    """Whether it is a glob or a brace pattern and not a folder."""
    return bool(MAGIC & set(text))


def tars_of_pattern(pattern: str) -> list[Path]:
    """The files of a pattern, braces expanded as webdataset does. Raises DataError where one is missing."""
    found = _by_part(pattern)
    missing = [part for part, files in found.items() if not files]
    if missing:
        raise DataError(f"There is no file {missing[0]}, which the pattern {pattern!r} asks for: mend `dataset.root`.")
    return [Path(file) for files in found.values() for file in files]


def expanded(pattern: str) -> list[Path]:
    """The files of a pattern that are there."""
    return [Path(file) for files in _by_part(pattern).values() for file in files]


def _by_part(pattern: str) -> dict[str, list[str]]:
    parts = [str(Path(part).expanduser()) for part in expand_urls(pattern)]
    return {part: sorted(glob(part)) for part in parts}


def tars_of_folder(folder: Path) -> list[Path]:
    """The tars in a folder, by name. Raises DataError where it has none."""
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        there = listing(entry.name for entry in sorted(folder.iterdir())[:5]) if folder.is_dir() else "no such folder"
        raise DataError(f"There are no .tar files in {folder} (there is: {there}): set `dataset.root` to their folder.")
    return tars
