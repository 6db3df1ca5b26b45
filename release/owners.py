"""Which tests belong to a distribution: those in its folder, or the files of tests/ that need no more than it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.projects import ROOT, Project, projects

SHARED = ROOT / "tests"
FOLDERS = {"importing": "nanogen-import"}  # tests of a distribution with networks of others, which require it
#: Folders and files of tests/ about the documents, the tools, or many distributions.
REPOSITORY = (
    *("architecture", "docs", "evaluation_cases", "fidelity", "fuzz", "parity", "release"),
    *("test_evaluation_cases.py", "test_readme.py", "test_wheels.py"),
)
TOOLS = {"benchmarks", "docs", "examples", "release"}  # tests that import these are tests of the repository
DOCUMENTS = ("docs", "examples")  # what tests in tests/ compare programs with
#: Folders with recorded outputs that a distribution's tests read, beside those of their own folder.
FIXTURES = {
    "nanogen-core": ("plugins/nanogen-dit/tests/fixtures",),
    "nanogen-dit": ("tests/fidelity/fixtures",),
    "nanogen-import": ("tests/fidelity/fixtures", "plugins/nanogen-dit/tests"),
    "nanogen-textscore": ("tests/data",),
}


def files_of(project: Project) -> set[Path]:
    """Return the files of a distribution's tests, and the helpers in tests/ that these import.

    A distribution with a folder `tests` owns what the folder holds. Other distributions own test files in tests/: a
    file belongs to the imported distribution that requires all others that it imports, directly or in a helper. Files
    that import unrelated distributions, `TOOLS` or the test of the wheels are tests of the repository, and so are
    those in `REPOSITORY`. With tests in tests/ go the documents that they read.
    """
    own = project.folder / "tests"
    if project.folder != ROOT and own.is_dir():
        tests = {file for file in own.rglob("*") if file.is_file() and not (file.suffix == ".py" and _of_tools(file))}
    else:
        tests = {file for file in _shared_tests() if owner(file) == project.name}
    python = {file for file in tests if file.suffix == ".py"}
    helpers = {helper for file in python for helper in closure(file)}
    folders = {file.parent for file in (*tests, *helpers) if SHARED in file.parents}
    folders |= {parent for folder in folders for parent in folder.parents if SHARED in (parent, *parent.parents)}
    data = {file for folder in folders for file in folder.iterdir() if not file.match("test_*.py")}
    if SHARED in folders:
        data |= set((SHARED / "data").rglob("*")) | {ROOT / "README.md"}
        data |= {file for name in DOCUMENTS for file in (ROOT / name).rglob("*")}
    fixtures = (file for folder in FIXTURES.get(project.name, ()) for file in (ROOT / folder).rglob("*"))
    data |= {file for file in fixtures if not file.match("*.py")}
    return {file for file in tests | helpers | data if file.is_file() and "__pycache__" not in file.parts}


@lru_cache
def owner(file: Path) -> str | None:
    """Return the distribution that a file of tests/ belongs to, or None for a test of the repository."""
    tree = closure(file)
    packages = {module.partition(".")[0] for path in tree for module in imports(path)}
    needed = {canonicalize_name(package) for package in packages if package.startswith("nanogen_")}
    if file.relative_to(SHARED).parts[0] in REPOSITORY or _of_tools(file) or not needed:
        return None
    if (named := FOLDERS.get(file.relative_to(SHARED).parts[0])) is not None:
        return named
    return next((name for name in sorted(needed) if needed <= required(name)), None)


def _of_tools(file: Path) -> bool:
    modules = {module for path in closure(file) for module in imports(path)}
    return "tests.test_wheels" in modules or bool({module.partition(".")[0] for module in modules} & TOOLS)


@lru_cache
def required(name: str) -> frozenset[str]:
    """Return a distribution of this repository with those that it requires, directly or not, without extras."""
    lines = (Requirement(line) for line in _by_name()[name].table["dependencies"])
    direct = {canonicalize_name(line.name) for line in lines} & set(_by_name())
    return frozenset({name}).union(*(required(other) for other in direct))


@lru_cache
def closure(file: Path) -> frozenset[Path]:
    """Return a Python file with the files of tests/ that it imports, directly or not."""
    found, waiting = set(), [file]
    while waiting:
        if (path := waiting.pop()) not in found:
            found.add(path)
            waiting += _helpers(path)
    return frozenset(found)


def _helpers(file: Path) -> Iterator[Path]:
    """Yield the files of modules that a file imports from `tests` or its own folder, and the folder's `conftest.py`."""
    for module in imports(file):
        inside = module.partition(".")[0] == "tests"
        place = (ROOT if inside else file.parent).joinpath(*module.split("."))
        yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())
    if SHARED in file.parents:
        yield from (path for path in (file.with_name("conftest.py"), file.with_name("__init__.py")) if path.is_file())


@lru_cache
def imports(file: Path) -> frozenset[str]:
    """Return the modules that a file imports anywhere: for `from a import b` both `a` and `a.b`, which may be one."""
    package = file.parent.relative_to(ROOT).parts
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])
            name = base if node.level else node.module or ""
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def _shared_tests() -> Iterable[Path]:
    return sorted(SHARED.rglob("test_*.py"))


@lru_cache
def _by_name() -> dict[str, Project]:
    return {project.name: project for project in projects()}
