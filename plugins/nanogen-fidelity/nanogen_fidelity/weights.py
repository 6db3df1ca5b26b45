"""Finds files of weights on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from nanogen_core.errors import DataError


def hub_file(path: str | None, names: Iterable[str], network: str) -> Path:
    """Find a file of weights.

    Args:
        path: The file. None: search torch.hub's folder.
        names: File names to search for in torch.hub's folder, in order.
        network: The network whose weights the file holds, for error messages.

    Raises:
        DataError: There is no such file.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    candidates = [Path(path).expanduser()] if path else [folder / name for name in names]
    found = next((file for file in candidates if file.is_file()), None)
    if found:
        return found
    if path:
        raise DataError(f"There is no file {candidates[0]}. Set `weights` to a file with the weights of {network}.")
    raise DataError(
        f"The weights of {network} are not on this machine. Save {' or '.join(names)} in {folder}, or set `weights` to "
        "the path of the file."
    )
