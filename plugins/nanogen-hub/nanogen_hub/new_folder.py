"""Writes the content of a new folder, all of it or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanogen_core.errors import DataError
from nanogen_files import storage


@contextmanager
def new_content(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder. If the `with` block succeeds, the content of this folder moves to `folder`.

    If the block fails, `folder` stays missing or empty, so that a second attempt can write it.

    Raises:
        DataError: `folder` is not empty, or not a folder.
    """
    if not folder.exists():
        with storage.whole_folder(folder) as temporary:
            yield temporary
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise DataError(f"{folder} is not an empty folder: choose another one.")
    temporary = storage.begin_folder(folder / "new")  # inside: the folder may be a mount point, which cannot be moved
    try:
        yield temporary
        for entry in list(temporary.iterdir()):
            os.replace(entry, folder / entry.name)
    finally:
        storage.discard(temporary)
