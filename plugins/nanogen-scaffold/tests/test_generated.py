"""A generated project of every kind passes its own tests at once, and is clean for ruff and mypy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from projects import run_beside, write_metadata

from nanogen_core import hookspecs
from nanogen_scaffold.checks.typing_check import mypy_errors
from nanogen_scaffold.kinds import KINDS
from nanogen_scaffold.names import LONGEST
from nanogen_scaffold.project import new_project
from tests.test_wheels import PROJECTS, Environment, Wheels, closure, run

#: Resolves `example.yaml` of the projects in the arguments, on both tasks.
RESOLVE = """
import sys, yaml
from pathlib import Path
from nanogen_core.config import resolve
for name in sys.argv[1:]:
    config = yaml.safe_load((Path(name) / "example.yaml").read_text(encoding="utf-8"))
    for task in dict.fromkeys([config["task"], "t2i"]):
        parts = resolve(config, {"task": task}).parts()
        assert any(c.distribution == Path(name).name for members in parts.values() for c in members), (name, task)
        print(Path(name).name, task)
"""


def short(number: int) -> str:
    return "pqrsuvwxabc"[number]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One project of each kind, whose name is as long as a name may be."""
    folder = tmp_path_factory.mktemp("long")
    made = {kind: new_project(f"{kind}-".ljust(LONGEST, "x"), kind, folder) for kind in KINDS}
    for project in made.values():
        write_metadata(project)
    return made


def test_a_conditioner_encodes_no_requests(projects: dict[str, Path], tmp_path: Path) -> None:
    package = next(projects["conditioner"].glob("nanogen_*")).name
    code = f"""
from nanogen_core.registry import registry, import_object
from {package} import plugin
(component,) = plugin.nanogen_components()
made = import_object(component.target)(import_object(component.config)(), classes=())
print([*made.null(0).tokens.shape], [*made.null(0).mask.shape], [*made.null(2).tokens.shape])
"""
    ran = run_beside(projects.values(), "-c", code, cwd=tmp_path)
    assert ran.stdout.strip() == "[0, 1, 256] [0, 1] [2, 1, 256]", ran.stderr


def test_their_examples_select_the_component_on_both_tasks(projects: dict[str, Path], tmp_path: Path) -> None:
    selected = {kind: project for kind, project in projects.items() if kind != "task"}
    ran = run_beside(projects.values(), "-c", RESOLVE, *map(str, selected.values()), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2 * len(selected)


def test_ruff_finds_nothing_for_long_and_short_names(projects: dict[str, Path], tmp_path: Path) -> None:
    named = [new_project(short(number), kind, tmp_path) for number, kind in enumerate(KINDS)]
    for command in (["check"], ["format", "--check"]):
        folders = map(str, [*projects.values(), *named])
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *folders], capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout


def test_mypy_finds_nothing(
    projects: dict[str, Path], pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run reads the types of torch, which takes half a minute. The cache keeps them."""
    monkeypatch.setenv("MYPY_CACHE_DIR", str(pytestconfig.cache.mkdir("mypy-of-plugins")))  # type: ignore[union-attr]
    packages = [path for project in projects.values() for path in project.glob("nanogen_*")]
    assert len(packages) == len(KINDS)
    assert mypy_errors(packages) == []


@pytest.mark.parametrize("kind", KINDS)
def test_they_state_the_version_of_the_hooks(projects: dict[str, Path], kind: str) -> None:
    manifest = next(projects[kind].glob("nanogen_*/plugin.py")).read_text(encoding="utf-8")
    assert re.findall(r"^NANOGEN_API = (\d+)$", manifest, re.M) == [str(hookspecs.API)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_placeholder_is_left(projects: dict[str, Path], kind: str) -> None:
    for path in projects[kind].rglob("*"):
        assert "placeholder" not in path.name.lower()
        if path.is_file() and path.suffix != ".pyc":
            assert not re.search(r"placeholder|template-|\$\{", path.read_text(encoding="utf-8"), re.I)


def test_wheels_of_every_kind_pass_their_tests_in_a_clean_environment(tmp_path: Path) -> None:
    """pip builds and installs them without an index. Third-party packages of the environment are links."""
    made = [new_project(f"my-{kind}", kind, tmp_path) for kind in KINDS]
    wheels = Wheels(tmp_path / "wheels")
    roots = {"nanogen-scaffold": ("typing",), "nanogen-dit": (), "nanogen-vae": ()}
    needed = {name for root, extras in roots.items() for name in closure(root, extras, wheels)}
    environment = Environment(tmp_path / "environment", {*needed, "pip"} - set(PROJECTS))
    pip = (sys.executable, "-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", str(wheels.folder), *map(str, made))
    there = str(environment.programs / "python")
    install = ("install", "--no-index", "--no-compile", "--find-links", str(wheels.folder))
    run(*pip, "--python", there, *install, *(f"{project.name}[test]" for project in made))
    tests = [str(project / "tests") for project in made]
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", "/dev/null", f"--rootdir={tmp_path}"]
    printed = run(there, "-m", "pytest", *options, *tests, cwd=tmp_path / "environment")
    assert re.search(r"\d{3} passed", printed)
    assert "failed" not in printed
