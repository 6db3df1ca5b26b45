"""Small checkpoints in the published layout, and the configurations that were published beside the real ones."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # --import-mode=importlib does not
from published_files import ROWS, checkpoint


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.delenv("NANOGEN_DATA", raising=False)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def rows():
    """The recorded rows of the sampling configurations by recipe, those with guidance where there are two."""
    found = [row for row in json.loads(ROWS.read_text())["rows"] if row["kind"] == "sampling"]
    return {row["recipe"]: row for row in sorted(found, key=lambda row: row["guidance"]["applied"])}


@pytest.fixture
def file_for(tmp_path):
    """A maker of a small random checkpoint for a row: its latent, patch, condition and abilities, small widths."""

    def make(row, **more):
        return checkpoint(row, tmp_path / "checkpoint.pt", **more)

    return make
