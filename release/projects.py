"""The distributions of this repository, and building their wheels and sdists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


@frozen
class Project:
    """A distribution.

    Attributes:
        folder: Folder with its `pyproject.toml`.
        table: The table `[project]` of that file.
        package: Name of its import package.
        test_requirements: Its dependency group `test`: what its tests need beside its wheel.
    """

    folder: Path
    table: dict[str, Any]
    package: str
    test_requirements: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(canonicalize_name(self.table["name"]))

    @property
    def version(self) -> str:
        return str(self.table["version"])

    def file(self, folder: Path, ending: str) -> Path:
        """Return its only file in `folder` with this ending. Raises ValueError if there is none or more than one."""
        prefix = f"{self.name.replace('-', '_')}-{self.version}"
        found = sorted(folder.glob(f"{prefix}*{ending}"))
        if len(found) != 1:
            raise ValueError(f"{folder} has {len(found)} files {prefix}*{ending}, but must have one: build it again.")
        return found[0]


def projects(root: Path = ROOT) -> list[Project]:
    """Return the core and the plugins, by name. The examples are not released."""
    return [_project(root), *(_project(file.parent) for file in sorted(root.glob("plugins/*/pyproject.toml")))]


def _project(folder: Path) -> Project:
    content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    (package,) = content["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    tests = content.get("dependency-groups", {}).get("test", ())
    return Project(folder, content["project"], package, tuple(tests))


def build(project: Project, output: Path) -> None:
    """Build wheel and sdist. The wheel is built from the sdist, so that the sdist is known to be complete.

    Raises:
        RuntimeError: A build failed; the message ends with its output.
    """
    output.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(output.resolve())], project.folder)
    source = project.file(output, ".tar.gz")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    words = [sys.executable, "-m", "pip", "wheel", *options, "-w", str(output.resolve()), str(source.resolve())]
    _run(words, project.folder)


def _run(words: list[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"The build in {folder} failed:\n{(done.stdout + done.stderr)[-2000:]}")
