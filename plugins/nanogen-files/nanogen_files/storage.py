"""Atomic file and folder writes: after a crash, a path never has partial content. Tensors are stored as safetensors.

Content is written under a temporary name, synced, then renamed. A folder is removed only if its manifest lists all of
its files. A folder is replaced only if every file in it is in its manifest or in the new folder. While a folder is
replaced, the old one has another name; `restore` puts it back after a crash. Temporary names have their own suffix.
Does not import torch.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen_files.errors import DataError
from nanogen_files.names import inside
from nanogen_files.reading import opened, read_bytes

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"  # maps each file of a folder, by relative path, to its hash
DIGEST = "sha256"  # key in the metadata of a safetensors file: hash of its tensors
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.nanogen-tmp")
_OLD = re.compile(r"\.(.+)\.nanogen-old")  # a folder that is being replaced


# -- files -------------------------------------------------------------------------------------------------------------


def temporary_name(path: Path) -> Path:
    """Return a unique temporary path in the folder of `path`. `sweep` recognises its name."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.nanogen-tmp")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: a crash leaves the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with temporary.open("xb") as file:  # permissions follow the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises DataError if it is missing, unreadable, not a regular file, or corrupt."""
    try:
        return json.loads(read_bytes(path).decode())
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not valid JSON ({error}). Replace it by an intact copy, or repeat the command that wrote it."
        ) from error


# -- tensors -----------------------------------------------------------------------------------------------------------


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, hashed: bool = True) -> None:
    """Write a safetensors file atomically. Equal tensors give equal files.

    Args:
        path: File to write.
        tensors: Tensors by name.
        hashed: Store the hash of the tensors in the file. Set to False if a manifest holds the hash of the file.
    """
    from safetensors.torch import save

    contiguous_tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(contiguous_tensors, {DIGEST: tensors_hash(contiguous_tensors)} if hashed else None))


def read_tensors(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """Read the tensors of a safetensors file into memory, and check the hash that `write_tensors` stored, if any.

    Args:
        path: File to read.
        prefix: If not empty, read only tensors whose names begin with it, and skip the hash check.

    Raises:
        DataError: The file is missing, unreadable or corrupt.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_readable(path), "pt") as file:
            digest = (file.metadata() or {}).get(DIGEST)
            # clone: safetensors returns unaligned views of the memory-mapped file, which may be deleted
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        text = str(error)[:200]
        raise DataError(f"{path} is not a valid safetensors file: {text}. Use another copy of it.") from error
    if digest is not None and not prefix and digest != tensors_hash(tensors):
        raise DataError(f"{path} is damaged: its tensors do not match their SHA-256. Use another copy of the file.")
    return tensors


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over the names, dtypes, shapes and bytes of tensors."""
    import torch

    total = sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _readable(path: Path) -> Path:
    """Return `path`. Raises DataError if the file cannot be opened."""
    with opened(path):
        return path


# -- folders -----------------------------------------------------------------------------------------------------------


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder in the parent folder of `path`.

    If the block succeeds, rename the temporary folder to `path`; otherwise delete it.
    """
    temporary = begin_folder(path)
    try:
        yield temporary
        finish_folder(temporary, path)
    except BaseException:
        discard(temporary)
        raise


def begin_folder(path: Path) -> Path:
    """Create an empty temporary folder in the parent folder of `path`. `finish_folder` renames it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    restore(path)
    temporary = temporary_name(path)
    temporary.mkdir()
    return temporary


def finish_folder(temporary: Path, path: Path) -> None:
    """Sync a temporary folder and rename it to `path`. Removes an existing folder of that name.

    A crash leaves the old folder or the new one. If the old one then has another name, `restore` puts it back.

    Raises:
        DataError: The existing folder contains files that are neither in its manifest nor in the new folder.
    """
    for entry in temporary.rglob("*"):
        sync(entry)
    sync(temporary)
    if not _is_replaceable(path, by=names_in(temporary)):
        raise DataError(
            f"{path} cannot be replaced: it contains files that are neither in its {MANIFEST} nor in the new folder."
            " Move the folder away."
        )
    try:
        if path.is_dir():
            os.replace(path, _old(path))
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        restore(path)  # removes the old folder; after an error puts it back


def restore(path: Path) -> None:
    """Undo or complete a replacement of the folder `path` that a crash interrupted.

    Puts the old folder back if the new one was not yet renamed to `path`; otherwise removes the old folder.
    """
    old = _old(path)
    if not old.is_dir():
        return
    if not os.path.lexists(path):
        os.replace(old, path)
        return
    renamed = temporary_name(path)
    os.replace(old, renamed)
    discard(renamed)


def remove_folder(path: Path) -> bool:
    """Remove a folder that `whole_folder` wrote. A crash leaves it complete or absent.

    Returns:
        False if the folder contains files that its manifest does not list. Nothing is then removed.
    """
    restore(path)  # otherwise a later `sweep` would put an old folder back
    if not path.is_dir():
        return True
    if not _is_replaceable(path):
        return False
    renamed = temporary_name(path)
    os.replace(path, renamed)
    discard(renamed)
    return True


def remove_files(folder: Path, names: Collection[str]) -> None:
    """Delete files of a folder by relative path. Then delete their parent folders and `folder` itself, if empty.

    Raises:
        DataError: A name points outside the folder. Nothing is deleted.
    """
    for name in names:
        inside(folder, folder / name)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    parents = {place for name in names for place in (folder / name).parents if folder in (place, *place.parents)}
    for place in sorted({folder, *parents}, reverse=True):
        _remove_empty(place)


def names_in(folder: Path) -> list[str]:
    """Return the relative paths of all files and links in and below a folder. Does not follow links.

    Also returns the path of a folder that cannot be listed.
    """
    unreadable: list[OSError] = []
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=unreadable.append):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name) for name in (*names, *links)]
    found += [Path(error.filename) for error in unreadable if not isinstance(error, FileNotFoundError)]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def discard(temporary: Path) -> None:
    """Delete a temporary file or folder recursively. Raises ValueError for a name that is not temporary."""
    if not _TEMPORARY.fullmatch(temporary.name):
        raise ValueError(f"{temporary} is not a temporary name created by this module.")
    if not _is_folder(temporary):
        temporary.unlink(missing_ok=True)
        return
    for place, folders, names in os.walk(temporary, topdown=False):
        for name in names:
            Path(place, name).unlink(missing_ok=True)
        for name in folders:
            entry = Path(place, name)
            entry.unlink() if entry.is_symlink() else _remove_empty(entry)
    _remove_empty(temporary)


def sweep(folder: Path) -> None:
    """Clean up what killed processes left in `folder`: `restore` old folders, and delete temporary files and folders.

    Does not look into subfolders. No process may be writing to the folder.
    """
    for leftover in folder.glob(".*.nanogen-old"):
        if match := _OLD.fullmatch(leftover.name):
            restore(folder / match[1])
    for leftover in folder.glob(".*.nanogen-tmp"):
        if _TEMPORARY.fullmatch(leftover.name):
            discard(leftover)


def sync(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _old(path: Path) -> Path:
    """Return the name of the folder `path` while it is replaced. It is fixed, so there is one old folder at most."""
    return path.with_name(f".{path.name}.nanogen-old")


def _is_replaceable(folder: Path, by: Collection[str] = ()) -> bool:
    """Return whether each file of a folder is in its manifest or in `by`. True if there is no such folder."""
    return not folder.is_dir() or not set(names_in(folder)) - _listed(folder) - set(by)


def _listed(folder: Path) -> set[str]:
    """Return the manifest and the files it lists; empty if there is no manifest."""
    try:
        listed = read_json(folder / MANIFEST)
    except DataError:
        return set()
    return {*map(str, listed), MANIFEST} if isinstance(listed, dict) else set()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or missing
        folder.rmdir()
