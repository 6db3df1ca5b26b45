"""Files of weights: where they lie, what is in them, and by which hash a score names them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from nanogen_core import storage
from nanogen_core.errors import DataError


def hub_file(path: str | None, names: Iterable[str], what: str) -> Path:
    """The file at `path`, or the first of `names` in torch.hub's folder. Raises DataError: which file goes where."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    candidates = [Path(path).expanduser()] if path else [folder / name for name in names]
    found = next((file for file in candidates if file.is_file()), None)
    if found:
        return found
    if path:
        raise DataError(f"{candidates[0]}, which `weights` names, is no file: it must hold {what}.")
    raise DataError(
        f"{what} is not on this machine: save {' or '.join(names)} in {folder}, or name the file with `weights`."
    )


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file, of which nothing but tensors is read. Raises DataError."""
    if file.suffix == ".safetensors":
        return storage.read_tensors(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{file} is no whole file of tensors: {reason}.") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{file} holds a {type(content).__name__} and no tensors by name.")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def file_digest(file: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits, as `sha256sum` gives it."""
    facts = file.stat()
    return _file_digest(file, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(file: Path, size: int, changed: int) -> str:
    found = sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def state_digest(state: Mapping[str, Tensor]) -> str:
    """64 hexadecimal digits of tensors by name, whatever file they came from."""
    found = sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
