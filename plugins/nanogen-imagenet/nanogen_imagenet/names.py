"""Names for people: from class folders' names to the words of a file beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files import text_files
from nanogen_files.reading import is_file

FILES = ("LOC_synset_mapping.txt", "classes.txt")
_QUOTED = re.compile(r'"((?:[^"]|"")+)"[ \t]+(.+)')


def folder_names(root: Path, folders: Sequence[str]) -> tuple[str, ...]:
    """A name for each class folder, from the lines `n01440764 tench, Tinca tinca` of a file in `root`.

    A folder with a space in its name is quoted, or separated from its name by a tab. Without such a file the folders'
    own names. Raises DataError where the file says nothing of a folder, or speaks of one twice.
    """
    file = next((root / name for name in FILES if is_file(root / name)), None)
    if file is None:
        return tuple(folders)
    words: dict[str, str] = {}
    for number, line in enumerate(text_files.lines(text_files.read(file)), start=1):
        if not line.strip():
            continue
        folder, name = _pair(line.strip())
        if folder in words:
            raise DataError(f"Line {number} of {file} is the second one for the folder {folder!r}: take one away.")
        words[folder] = name
    missing = [folder for folder in folders if not words.get(folder)]
    if missing:
        raise DataError(
            f"{file} has no name for the class folder {missing[0]!r} ({len(missing)} missing): add a line "
            f"`{_written(missing[0])} NAME` for each, or take the file away."
        )
    return tuple(words[folder] for folder in folders)


def _pair(line: str) -> tuple[str, str]:
    """The folder and the name of a line: `"golden retriever" NAME`, `golden retriever<tab>NAME` or `n01440764 NAME`."""
    quoted = _QUOTED.fullmatch(line)
    if quoted:
        return quoted[1].replace('""', '"'), quoted[2].strip()
    folder, _, name = line.partition("\t" if "\t" in line else " ")
    return folder.strip(), name.strip()


def _written(folder: str) -> str:
    """A folder's name as a line of the file must have it."""
    if re.search(r'[\s"]', folder):
        return '"' + folder.replace('"', '""') + '"'
    return folder
