"""Whether a folder still holds what was written to it: a list of its files with their sizes and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanogen_core.errors import DataError
from nanogen_files import storage
from nanogen_files.reading import opened

MANIFEST = "manifest.json"
_CHUNK = 1 << 20

Listing = Mapping[str, Mapping[str, Any]]  # file, relative to the folder -> bytes, sha256


def files_in(folder: Path) -> list[Path]:
    """All files of a folder but its manifest, sorted."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)


def listing(folder: Path, files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The size and hash of each of these files, by its path in the folder."""
    return {file.relative_to(folder).as_posix(): _described(file) for file in files}


def seal(folder: Path, listed: Listing) -> None:
    """Writes the manifest: the last file of a folder that is whole."""
    storage.write_json(folder / MANIFEST, listed)


def verify(folder: Path) -> None:
    """Raises DataError, which says what is missing or changed, for a folder that is not as its manifest has it."""
    listed = storage.read_json(folder / MANIFEST)
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"{folder / MANIFEST} is damaged: it lists no files.")
    for name, expected in listed.items():
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing.")
        found = _described(file)
        if found != expected:
            raise DataError(f"{file} is damaged: its {found['bytes']} bytes are not those that were written.")


def looks_whole(folder: Path) -> bool:
    """Whether all files are there and as long as the manifest has them: a quick look, which reads none of them."""
    try:
        listed = storage.read_json(folder / MANIFEST)
        return bool(listed) and all((folder / name).stat().st_size == known["bytes"] for name, known in listed.items())
    except (DataError, OSError, ValueError, AttributeError, KeyError, TypeError):  # ValueError: a NUL in a name
        return False


def _described(file: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with opened(file) as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}
