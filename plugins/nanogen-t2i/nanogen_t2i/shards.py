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
    expanded = [str(Path(part).expanduser()) for part in expand_urls(pattern)]
    found = {part: sorted(glob(part)) for part in expanded}
    missing = [part for part, files in found.items() if not files]
    if missing:
        raise DataError(f"There is no file {missing[0]}, which the pattern {pattern!r} asks for: mend `dataset.root`.")
    return [Path(file) for files in found.values() for file in files]


def tars_of_folder(folder: Path) -> list[Path]:
    """The tars in a folder, by name. Raises DataError where it has none."""
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        there = listing(entry.name for entry in sorted(folder.iterdir())[:5]) if folder.is_dir() else "no such folder"
        raise DataError(f"There are no .tar files in {folder} (there is: {there}): set `dataset.root` to their folder.")
    return tars
