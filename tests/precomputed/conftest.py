"""Small data on disk in real formats."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import webdataset

sys.path.insert(0, str(Path(__file__).parent))  # --import-mode=importlib does not
from precomputed_data import picture, png


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Eighteen pictures of three classes to train on, and three to hold out."""
    for split, count in (("train", 6), ("val", 1)):
        for place, name in enumerate(("n01", "n02", "n03")):
            (tmp_path / "folders" / split / name).mkdir(parents=True)
            for number in range(count):
                picture(100 * place + number).save(tmp_path / "folders" / split / name / f"{number}.png")
    return tmp_path / "folders"


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Fourteen pictures with captions in two tars, and two to hold out."""
    for name, numbers in (("train/0", range(8)), ("train/1", range(8, 14)), ("val/0", range(50, 52))):
        path = tmp_path / "tars" / f"{name}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with webdataset.TarWriter(str(path)) as tar:
            for number in numbers:
                words = " ".join(["red", "dog", "in", "the", "snow"][: 1 + number % 5])
                tar.write({"__key__": f"{number:03d}", "png": png(number), "txt": f"a {words}"})
    return tmp_path / "tars"
