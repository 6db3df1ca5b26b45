"""Files that are whole or not there: written under a temporary name, synced, then renamed. Tensors as safetensors only.

Nothing is deleted that this module did not write: temporary names carry a suffix of their own, and a folder is removed
by the list of files in its manifest. Importing this loads no torch.
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

MANIFEST = "manifest.json"  # of a folder: its files, by their paths in it
DIGEST = "sha256"  # in the metadata of a safetensors file: the hash of its tensors
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.nanogen-tmp")


# -- files -------------------------------------------------------------------------------------------------------------


def temporary_name(path: Path) -> Path:
    """A name beside `path` that `sweep` recognises and nobody else uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.nanogen-tmp")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with temporary.open("xb") as file:  # created by the rules of the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises DataError where the file is missing, may not be read, is no regular file, or is damaged."""
    try:
        return json.loads(read_bytes(path).decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}.") from error


# -- tensors -----------------------------------------------------------------------------------------------------------


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, hashed: bool = True) -> None:
    """Writes a safetensors file that carries the hash of its tensors. Equal tensors give equal files.

    `hashed=False` leaves the hash out, where a manifest beside the file has that of its bytes.
    """
    from safetensors.torch import save

    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(whole, {DIGEST: tensors_hash(whole)} if hashed else None))


def read_tensors(path: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a safetensors file, in memory, compared with the hash that `write_tensors` gave it.

    With a `prefix`, only those whose names begin so, which no hash is known of. Raises DataError where the file is
    missing, may not be read, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_readable(path), "pt") as file:
            digest = (file.metadata() or {}).get(DIGEST)
            # copies: what safetensors gives lies in the mapped file, which may be deleted, and at odd addresses
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise DataError(f"{path} is no whole safetensors file: {str(error)[:200]}.") from error
    if digest is not None and not prefix and digest != tensors_hash(tensors):
        raise DataError(f"{path} is damaged: its tensors are not those that were written (SHA-256).")
    return tensors


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors."""
    import torch

    total = sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _readable(path: Path) -> Path:
    """The path of a file that may be read. Raises DataError for another one."""
    with opened(path):
        return path


# -- folders -----------------------------------------------------------------------------------------------------------


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its name, synced with all that is in it, when the block ends well."""
    temporary = begin_folder(path)
    try:
        yield temporary
        finish_folder(temporary, path)
    except BaseException:
        discard(temporary)
        raise


def begin_folder(path: Path) -> Path:
    """An empty temporary folder beside `path`, for `finish_folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    temporary.mkdir()
    return temporary


def finish_folder(temporary: Path, path: Path) -> None:
    """Gives a filled temporary folder its name; an earlier folder of that name is removed.

    Raises DataError where that one holds anything else, which would be lost.
    """
    for entry in temporary.rglob("*"):
        sync(entry)
    sync(temporary)
    if not remove_folder(path, replaced=names_in(temporary)):
        raise DataError(f"{path} cannot be replaced, because it also holds other files: move it away.")
    os.replace(temporary, path)
    sync(path.parent)


def remove_folder(path: Path, replaced: Collection[str] = ()) -> bool:
    """Removes a folder that `whole_folder` wrote, so that a crash leaves it whole or not under its name.

    A folder that holds more than its manifest lists, and than is going to be `replaced`, stays as it is: the rest is
    somebody else's. Then the answer is False.
    """
    if not path.is_dir():
        return True
    if set(names_in(path)) - _listed(path) - set(replaced):
        return False
    doomed = temporary_name(path)
    os.replace(path, doomed)
    discard(doomed)
    return True


def remove_files(folder: Path, names: Collection[str]) -> None:
    """Deletes these files of a folder, and the folders around them, up to this one, that are then empty.

    Raises DataError, and deletes nothing, where a name leads out of the folder.
    """
    for name in names:
        inside(folder, folder / name)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    around = {place for name in names for place in (folder / name).parents if folder in (place, *place.parents)}
    for place in sorted({folder, *around}, reverse=True):
        _remove_empty(place)


def names_in(folder: Path) -> list[str]:
    """All files and links in and below a folder, by their paths in it; links are not followed."""
    found = []
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name).relative_to(folder).as_posix() for name in (*names, *links)]
    return sorted(found)


def discard(temporary: Path) -> None:
    """Deletes a temporary file or folder, with all that is in it. Raises ValueError for another name."""
    if not _TEMPORARY.fullmatch(temporary.name):
        raise ValueError(f"{temporary} is no temporary name of this program.")
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
    """Deletes the temporary files and folders that a killed process left in `folder`."""
    for left in folder.glob(".*.nanogen-tmp"):
        if _TEMPORARY.fullmatch(left.name):
            discard(left)


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _listed(folder: Path) -> set[str]:
    """The files that a folder's manifest lists, and the manifest; empty where there is none."""
    try:
        listed = read_json(folder / MANIFEST)
    except DataError:
        return set()
    return {*map(str, listed), MANIFEST} if isinstance(listed, dict) else set()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it is not empty, or was never there
        folder.rmdir()
