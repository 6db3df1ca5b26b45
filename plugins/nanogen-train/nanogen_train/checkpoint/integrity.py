"""Manifest of a folder: size and SHA-256 of each file, to detect corruption."""

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

Listing = Mapping[str, Mapping[str, Any]]  # relative path -> {"bytes": size, "sha256": hash}


def files_in(folder: Path) -> list[Path]:
    """Return all files of a folder except the manifest, sorted."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)


def listing(folder: Path, files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return the size and hash of each file, by relative path."""
    return {file.relative_to(folder).as_posix(): _size_and_hash(file) for file in files}


def seal(folder: Path, listing_: Listing) -> None:
    """Write the manifest. Call this last: a folder with a manifest counts as complete."""
    storage.write_json(folder / MANIFEST, listing_)


def verify(folder: Path) -> None:
    """Check all files against the manifest. Raises DataError if a file is missing or changed."""
    listing_ = storage.read_json(folder / MANIFEST)
    if not isinstance(listing_, dict) or not listing_:
        raise DataError(f"{folder / MANIFEST} is corrupt: it lists no files.")
    for name, expected in listing_.items():
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing.")
        actual = _size_and_hash(file)
        if actual != expected:
            raise DataError(
                f"{file} is corrupt: its size ({actual['bytes']} bytes) or SHA-256 differs from the manifest."
            )


def looks_complete(folder: Path) -> bool:
    """Return whether all files exist with the sizes in the manifest. Fast: reads only the manifest."""
    try:
        listing_ = storage.read_json(folder / MANIFEST)
        return bool(listing_) and all(
            (folder / name).stat().st_size == entry["bytes"] for name, entry in listing_.items()
        )
    except (DataError, OSError, ValueError, AttributeError, KeyError, TypeError):  # ValueError: NUL in a name
        return False


def _size_and_hash(file: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with opened(file) as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}
