"""Where files of weights lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

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
