"""Folders of the recorded networks of the published layout."""

from __future__ import annotations

from pathlib import Path

OWN = Path(__file__).with_name("fixtures")
RECIPE = Path(__file__).parents[3] / "tests" / "fidelity" / "fixtures" / "networks"
CASES = [path for folder in (OWN, RECIPE) for path in sorted(folder.glob("*.json"))]
