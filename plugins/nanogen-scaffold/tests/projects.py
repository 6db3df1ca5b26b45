"""Generated projects for tests, and a process in which they are found as if they were installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def write_metadata(project: Path) -> None:
    """Write the metadata of a project beside it: its entry point is then found if both folders are on the path."""
    package = next(path.name for path in project.iterdir() if path.name.startswith("nanogen_"))
    folder = project.parent / f"{package}-0.1.0.dist-info"
    folder.mkdir()
    distribution = package.replace("_", "-")
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {distribution}\nVersion: 0.1.0\n", encoding="utf-8")
    point = f"{distribution.removeprefix('nanogen-')} = {package}.plugin"
    (folder / "entry_points.txt").write_text(f"[nanogen]\n{point}\n", encoding="utf-8")


def run_beside(
    projects: Iterable[Path], *command: str, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with the projects and their metadata on the path."""
    projects = list(projects)
    folders = [*dict.fromkeys(project.parent for project in projects), *projects]
    path = os.pathsep.join([*map(str, folders), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True)
