"""Reads class names from `LOC_synset_mapping.txt` or `classes.txt`."""

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
    """Return the class name of each class folder.

    Reads `LOC_synset_mapping.txt`, or else `classes.txt`. A line has a folder and its class name, such as
    `n01440764 tench, Tinca tinca`. A folder name with a space is quoted, or followed by a tab.

    Args:
        root: The folder with the file.
        folders: The names of the class folders.

    Returns:
        The class names in the order of `folders`; the folder names themselves if there is neither file.

    Raises:
        DataError: The file has no name for a folder, or two lines for one folder.
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
            raise DataError(f"Line {number} of {file} is the second one for the folder {folder!r}. Remove one of them.")
        words[folder] = name
    missing = [folder for folder in folders if not words.get(folder)]
    if missing:
        raise DataError(
            f"{file} has no name for the class folder {missing[0]!r} ({len(missing)} missing). Add a line "
            f"`{_quoted_if_needed(missing[0])} NAME` for each, or remove the file."
        )
    return tuple(words[folder] for folder in folders)


def _pair(line: str) -> tuple[str, str]:
    """Parse a line: `"golden retriever" NAME`, `golden retriever<tab>NAME` or `n01440764 NAME`."""
    quoted = _QUOTED.fullmatch(line)
    if quoted:
        return quoted[1].replace('""', '"'), quoted[2].strip()
    folder, _, name = line.partition("\t" if "\t" in line else " ")
    return folder.strip(), name.strip()


def _quoted_if_needed(folder: str) -> str:
    """Return the name of a folder as it is written in the file."""
    if re.search(r'[\s"]', folder):
        return '"' + folder.replace('"', '""') + '"'
    return folder
