"""Folders that the file system refuses to list, also for root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def refuse_to_list(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `os.scandir` raise PermissionError for every folder of this name."""
    scandir = os.scandir

    def denied(path: Any) -> Any:
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
