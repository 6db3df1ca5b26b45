"""Checks of the distributions before a release. Each yields a sentence per problem."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from release.projects import ROOT, Project

CODE = {".py", ".pyi", ".typed", ".yaml", ".ini", ".css", ".js", ".md", ".html", ".toml"}  # needs no licence of its own
LARGEST = 20 << 20  # bytes; the index accepts 100 MB
ABOUT = re.compile(r"^## Licences?$", re.MULTILINE)


def versions(projects: Sequence[Project]) -> Iterator[str]:
    """All distributions have one version, and the changelog describes it."""
    by_version = defaultdict(list)
    for project in projects:
        by_version[project.version].append(project.name)
    if len(by_version) > 1:
        shown = "; ".join(f"{version}: {', '.join(names)}" for version, names in sorted(by_version.items()))
        yield f"The versions differ ({shown}). Give all distributions one version."
    for version in by_version:
        try:
            notes(version)
        except ValueError as error:
            yield str(error)


def notes(version: str, changelog: Path = ROOT / "CHANGELOG.md") -> str:
    """Return the changelog's section of a version. Raises ValueError if there is none or if it is empty."""
    sections = re.split(r"^## ", changelog.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for section in sections:
        title, _, body = section.partition("\n")
        if title.split()[:1] == [version]:
            if not body.strip():
                raise ValueError(f"The section {version} of {changelog.name} is empty: write it.")
            return body.strip() + "\n"
    raise ValueError(f"{changelog.name} has no section {version}: add the section `{version} (DATE)`.")


def metadata(files: Iterable[Path]) -> Iterator[str]:
    """`twine check --strict` accepts the files."""
    words = [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    if done.returncode:
        yield "twine check: " + " ".join(line for line in lines if line and "PASSED" not in line)


def contents(project: Project, wheel: Path, sdist: Path) -> Iterator[str]:
    """A wheel has every tracked file of its package, the licence, and nothing else. The sdist has no other files."""
    expected = _tracked(project)
    with ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    inside = {name for name in sizes if ".dist-info/" not in name}
    yield from (f"{wheel.name} lacks {name}: add it to the package." for name in sorted(expected - inside))
    yield from (f"{wheel.name} has the stray file {name}: remove it." for name in sorted(inside - expected))
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in sizes):
        yield f"{wheel.name} has no LICENSE: copy the file of the repository to {project.folder.name}/."
    if f"{project.package}/py.typed" not in inside:
        yield f"{wheel.name} has no py.typed: type checkers ignore its types without it."
    for name, size in sizes.items():
        if size > LARGEST:
            yield f"{wheel.name} has {name} with {size >> 20} MiB, above the limit of {LARGEST >> 20} MiB."
    with tarfile.open(sdist) as source:
        within = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in source.getnames()}
    allowed = {"PKG-INFO", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"}
    stray = {name for name in within - expected - allowed if not name.startswith("tests/")}
    yield from (f"{sdist.name} has the stray file {name}: remove it." for name in sorted(stray))


def licences(project: Project) -> Iterator[str]:
    """The README of a distribution with data or weights names their licences and files."""
    data = sorted(name for name in _tracked(project) if PurePosixPath(name).suffix not in CODE)
    if not data:
        return
    readme = (project.folder / "README.md").read_text(encoding="utf-8")
    sections = ABOUT.split(readme, maxsplit=1)
    if len(sections) == 1:
        yield f"{project.name} ships {', '.join(data)}, but its README has no section `Licences`: add one."
        return
    for name in data:
        if PurePosixPath(name).name not in sections[1] and f"{PurePosixPath(name).parent.name}/" not in sections[1]:
            yield f"{project.name} ships {name}, but the section `Licences` of its README does not name it: add it."


def _tracked(project: Project) -> set[str]:
    """Return the files of the package that git tracks, relative to the project."""
    words = ["git", "ls-files", "-z", "--", project.package]
    listed = subprocess.run(words, cwd=project.folder, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.split("\0") if name}
