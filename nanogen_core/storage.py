"""Files that are whole or not there: written beside their place, synced, then renamed. Tensors as safetensors only.

Loads torch for tensors alone: what lists runs, or holds their folders, needs none.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from nanogen_core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes a private file
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))


def read_json(path: Path) -> Any:
    """Raises DataError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}.") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in memory. Raises DataError where the file is missing or damaged."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise DataError(f"{path} does not exist.")
    try:
        # copies: what safetensors gives lies in the mapped file, which may be deleted, and at odd addresses
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is no whole safetensors file: {str(error)[:200]}.") from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name, synced with all that is in it, when the block ends well."""
    temporary = begin_folder(path)
    try:
        yield temporary
        finish_folder(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def begin_folder(path: Path) -> Path:
    """An empty temporary folder beside `path`, for `finish_folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))


def finish_folder(temporary: Path, path: Path) -> None:
    """Gives a filled temporary folder its name; what had the name before is deleted."""
    for entry in temporary.rglob("*"):
        sync(entry)
    sync(temporary)
    remove_folder(path)
    os.chmod(temporary, 0o755)  # mkdtemp makes a private folder
    os.replace(temporary, path)
    sync(path.parent)


def remove_folder(path: Path) -> None:
    """Deletes a folder, if it is there, so that a crash leaves it whole or not under its name."""
    if path.is_dir():
        doomed = begin_folder(path)
        os.replace(path, doomed)
        shutil.rmtree(doomed)


def sweep(folder: Path) -> None:
    """Deletes the temporary files and folders that a killed process left in `folder`."""
    for left in folder.glob(".*.tmp"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
