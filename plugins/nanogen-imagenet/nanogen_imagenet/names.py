"""Names for people: from class folders' names to the words of a file beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nanogen_core.errors import DataError, listing

FILES = ("LOC_synset_mapping.txt", "classes.txt")


def folder_names(root: Path, folders: Sequence[str]) -> tuple[str, ...]:
    """A name for each class folder, from the lines `n01440764 tench, Tinca tinca` of a file in `root`.

    Without such a file the folders' own names. Raises DataError where the file says nothing of a folder.
    """
    file = next((root / name for name in FILES if (root / name).is_file()), None)
    if file is None:
        return tuple(folders)
    words = dict(line.strip().partition(" ")[::2] for line in file.read_text("utf-8").splitlines() if line.strip())
    missing = [folder for folder in folders if not words.get(folder)]
    if missing:
        raise DataError(
            f"{file} has no name for the class folder {missing[0]!r} ({len(missing)} missing): add a line "
            f"`{missing[0]} NAME` for each, or take the file away."
        )
    return tuple(words[folder].strip() for folder in folders)


def listed_names(root: Path) -> tuple[str, ...]:
    """The lines of `classes.txt` in `root`, in label order. Raises DataError where there is none."""
    file = root / "classes.txt"
    if not file.is_file():
        found = listing(path.name for path in root.iterdir())
        raise DataError(
            f"The data in {root} do not name their classes: write {file} with one name a line, in label order (there "
            f"is: {found[:200]})."
        )
    return tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
