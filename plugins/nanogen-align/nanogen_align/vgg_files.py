"""Locations of the weights of LPIPS."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from nanogen_core.errors import DataError

VGG, HEADS = "vgg16-397923af.pth", "vgg.pth"
SOURCES = {
    VGG: "https://download.pytorch.org/models/vgg16-397923af.pth",  # torchvision's
    HEADS: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
}
PACKAGED = {"torchmetrics": "functional/image/lpips_models", "lpips": "weights/v0.1"}  # copies of the heads


def weight_files(folder: str | None) -> tuple[Path, Path]:
    """Return the files of VGG16 and of the linear heads.

    Args:
        folder: The folder to search; by default torch.hub's folder. The heads may also come with an installed package
            (torchmetrics, lpips).

    Raises:
        DataError: A file is missing. The message states where to download it, and where to save it.
    """
    home = Path(folder).expanduser() if folder else Path(torch.hub.get_dir()) / "checkpoints"
    files = home / VGG, next((path for path in (home / HEADS, *_packaged()) if path.is_file()), home / HEADS)
    missing = [path for path in files if not path.is_file()]
    if missing:
        downloads = " and ".join(f"{SOURCES[path.name]} as {path}" for path in missing)
        raise DataError(f"The weights of LPIPS are missing. Save {downloads}, or give the folder that contains them.")
    return files


def _packaged() -> Iterator[Path]:
    for package, place in PACKAGED.items():
        found = find_spec(package)
        yield from (Path(home) / place / HEADS for home in (found.submodule_search_locations or () if found else ()))
