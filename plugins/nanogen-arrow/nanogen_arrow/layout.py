"""Finds the files of a split: the list that `save_to_disk` wrote, or parquet files by name."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from nanogen_core.errors import DataError, listing, shown
from nanogen_data.notes import warn_once
from nanogen_files import json_files
from nanogen_files.reading import entries, is_file, is_folder

log = logging.getLogger(__name__)

SPLITS = {"train": ("train",), "val": ("validation", "val")}
STATE, DICTIONARY = "state.json", "dataset_dict.json"
SAVE = "Write the folder again with `save_to_disk`, or copy it again as a whole."
_PART = re.compile(r".*-(\d{1,9})-of-(\d{1,9})\.parquet")


def files_of(root: Path, split: str) -> list[Path]:
    """Return the files of a split, in order.

    Raises DataError if there is no file, if there are several sets of files, or if one is not a regular file.
    """
    names = SPLITS.get(split, (split,))
    folders = [root / name for name in names if is_file(root / name / STATE)]
    if is_file(root / STATE) and split == "train":
        folders = [root]
    files = _saved(folders[0]) if folders else parquet_files(root, split)
    if not files:
        raise DataError(
            f"There is no split {split!r} in {root} ({_contents(root)}). Add a folder {' or '.join(names)} from "
            f"`save_to_disk`, or files {names[0]}-*.parquet."
        )
    odd = next((file for file in files if not is_file(file)), None)
    if odd is not None:
        raise DataError(f"{odd} is not a regular file. Remove it.")
    return files


def is_saved(folder: Path) -> bool:
    """Return whether a folder, or its folder `train`, was written by `save_to_disk`."""
    return any(is_file(file) for file in (folder / DICTIONARY, folder / STATE, folder / "train" / STATE))


def parquet_files(root: Path, split: str) -> list[Path]:
    """Return the parquet files of a split in a folder or its subfolder `data`.

    Raises DataError if there are several sets of files, such as one in each folder.
    """
    names = SPLITS.get(split, (split,))
    folders = [folder for folder in (root / "data", root) if is_folder(folder)]
    sets = [_matching(folder, name) for folder in folders for name in names]
    found = [files for files in sets if files]
    if len(found) > 1:
        raise DataError(
            f"There are {len(found)} sets of files for the split {split!r}: one begins with {found[0][0]}, another with"
            f" {found[1][0]}. Keep only one set."
        )
    for files in found:
        _warn_incomplete(files)
    return found[0] if found else []


def _matching(folder: Path, name: str) -> list[Path]:
    files = [entry.name for entry in entries(folder) if _is_parquet(entry.name)]
    return [folder / file for file in files if file.startswith(f"{name}-") or file == f"{name}.parquet"]


def _contents(root: Path) -> str:
    """Return the splits of a folder, or the first entries of a folder without splits. Part of an error message."""
    saved = {entry.name for entry in entries(root) if is_file(root / entry.name / STATE)}
    folders = [folder for folder in (root / "data", root) if is_folder(folder)]
    names = {entry.name.partition("-")[0] for folder in folders for entry in entries(folder) if _is_parquet(entry.name)}
    if saved or names:
        return f"its splits: {listing(saved | names)}"
    return f"its entries: {listing(entry.name for entry in entries(root)[:5])}"


def _is_parquet(name: str) -> bool:
    return name.endswith(".parquet")


def _warn_incomplete(files: list[Path]) -> None:
    """Log a warning if there are fewer files than their names say (`-of-00002`).

    Raises DataError for files of several sets.
    """
    parts = [part for file in files if (part := _PART.fullmatch(file.name))]
    totals = {int(part[2]) for part in parts}
    if len(totals) > 1:
        raise DataError(
            f"{files[0].parent} has files of {len(totals)} sets ({listing(f'-of-{part[2]}' for part in parts)}). Keep "
            f"only one set."
        )
    if totals and len(parts) < (total := totals.pop()):
        warn_once(log, f"Only {len(parts)} of {total} files such as {files[0]} exist. The missing ones are ignored.")


def _saved(folder: Path) -> list[Path]:
    """Return the files listed in the state of a split, in order. Raises DataError if one is missing."""
    state = json_files.read(folder / STATE)
    listed = state.get("_data_files") if isinstance(state, dict) else None
    described = listed if isinstance(listed, list) else []
    found = [entry.get("filename") if isinstance(entry, dict) else None for entry in described]
    names = [name for name in found if isinstance(name, str) and name]
    if len(names) < len(found):
        wrong = shown(next(entry for entry, name in zip(described, found, strict=True) if name not in names))
        raise DataError(f"{folder / STATE} lists a data file without a name: {wrong}. {SAVE}")
    if not names:
        raise DataError(f"{folder / STATE} lists no data files. {SAVE}")
    files = [folder / name for name in names]
    missing = [file for file in files if file.parent != folder or not is_file(file)]
    if missing:
        raise DataError(f"{folder / STATE} lists the file {missing[0]}, which is missing or outside {folder}. {SAVE}")
    return files
