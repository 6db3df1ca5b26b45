"""`make release`: builds, and finds what is wrong with a distribution."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from attrs import evolve
from click.testing import CliRunner
from packaging.metadata import Metadata

from release import checks, environments
from release.__main__ import main
from release.projects import ROOT, Project, build, projects

LICENSE = (ROOT / "LICENSE").read_text(encoding="utf-8")


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=folder, check=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with nanogen-flow alone, as small as a distribution is."""
    root = tmp_path_factory.mktemp("repository")
    for name in ("nanogen_flow", "tests"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "plugins" / "nanogen-flow" / name, root / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / "plugins" / "nanogen-flow" / name, root)
    git(root, "init", "-q")
    git(root, "add", "-A")
    return root


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    (project,) = projects(repository)
    output = tmp_path_factory.mktemp("dist")
    build(project, output)
    return project, output


def test_a_sound_distribution_has_no_problem(built: tuple[Project, Path]) -> None:
    project, output = built
    wheel, sdist = project.file(output, ".whl"), project.file(output, ".tar.gz")
    assert list(checks.contents(project, wheel, sdist)) == []
    assert list(checks.licences(project)) == []
    assert list(checks.metadata([wheel, sdist])) == []
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        said = Metadata.from_email(archive.read(name))
    assert (said.name, str(said.version)) == (project.name, project.version)


def test_files_that_a_wheel_lacks_or_should_not_have_are_named(built: tuple[Project, Path], tmp_path: Path) -> None:
    project, output = built
    sdist, broken = project.file(output, ".tar.gz"), tmp_path / "broken.whl"
    with ZipFile(project.file(output, ".whl")) as whole, ZipFile(broken, "w") as archive:
        for name in whole.namelist():
            if not name.endswith(("py.typed", "LICENSE", "plugin.py")):
                archive.writestr(name, whole.read(name))
        archive.writestr("nanogen_flow/__pycache__/plugin.pyc", b"")
    problems = "\n".join(checks.contents(project, broken, sdist))
    assert "broken.whl lacks nanogen_flow/plugin.py" in problems
    assert "broken.whl has the stray file nanogen_flow/__pycache__/plugin.pyc" in problems
    assert "broken.whl has no LICENSE" in problems
    assert "broken.whl has no py.typed" in problems


def test_a_stray_file_of_an_sdist_is_named(built: tuple[Project, Path], tmp_path: Path) -> None:
    project, output = built
    stray = tmp_path / "stray.tar.gz"
    with tarfile.open(stray, "w:gz") as archive:
        for name in ("README.md", "notes/secret.txt"):
            archive.add(ROOT / "README.md", f"nanogen_flow-0.1.0/{name}")
    problems = list(checks.contents(project, project.file(output, ".whl"), stray))
    assert problems == ["stray.tar.gz has the stray file notes/secret.txt: remove it."]


def test_data_without_a_licence_is_named(repository: Path) -> None:
    (project,) = projects(repository)
    data = repository / "nanogen_flow" / "data.npz"
    data.write_bytes(b"data")
    git(repository, "add", "-A")
    (problem,) = checks.licences(project)
    assert "ships nanogen_flow/data.npz, but its README has no section `Licences`" in problem
    readme = repository / "README.md"
    before = readme.read_text(encoding="utf-8")
    readme.write_text(before + "\n## Licences\n\nThe code is under Apache-2.0.\n", encoding="utf-8")
    (problem,) = checks.licences(project)
    assert "does not name it" in problem
    readme.write_text(before + "\n## Licences\n\n`data.npz` is under CC0-1.0.\n", encoding="utf-8")
    assert list(checks.licences(project)) == []
    readme.write_text(before, encoding="utf-8")
    data.unlink()
    git(repository, "add", "-A")


def test_every_package_is_typed() -> None:
    assert {one.name for one in projects() if not (one.folder / one.package / "py.typed").is_file()} == set()


def test_the_licence_of_every_shipped_file_is_named() -> None:
    assert [problem for project in projects() for problem in checks.licences(project)] == []


def test_versions_are_in_step() -> None:
    found = projects()
    assert list(checks.versions(found)) == []
    other = evolve(found[0], table={**found[0].table, "version": "9.9"})
    (first, *_) = checks.versions([other, *found[1:]])
    assert first.startswith("The versions differ (")
    assert f"9.9: {other.name})" in first


def test_the_citation_has_the_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {project.version for project in projects()} == {cited["version"]}


def test_the_workflows_call_targets_that_exist() -> None:
    called = set()
    for file in (ROOT / ".github" / "workflows").glob("*.yaml"):
        jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
        called |= {step.get("run", "") for job in jobs for step in job["steps"]}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {words.removeprefix("make ") for words in called if words.startswith("make ")}
    assert {"test", "release"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets - {"docs"})


def test_notes_are_the_section_of_the_version(tmp_path: Path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(
        "# Changelog\n\n## 1.10\n\n- ten\n\n## 1.1 (2026-01-01)\n\n- one\n\n## 1.0\n\n", encoding="utf-8"
    )
    assert checks.notes("1.1", changelog) == "- one\n"
    for version, words in (("1.0", "is empty"), ("2.0", "has no section 2.0")):
        with pytest.raises(ValueError, match=words):
            checks.notes(version, changelog)


def test_the_description_must_be_there(built: tuple[Project, Path], tmp_path: Path) -> None:
    wheel = tmp_path / "nanogen_flow-0.1.0-py3-none-any.whl"
    with ZipFile(built[0].file(built[1], ".whl")) as whole, ZipFile(wheel, "w") as archive:
        for name in whole.namelist():
            text = whole.read(name)
            if name.endswith("METADATA"):
                text = text.partition(b"\n\n")[0] + b"\n"
            archive.writestr(name, text)
    (problem,) = checks.metadata([wheel])
    assert problem.startswith("twine check: ")


def test_every_distribution_has_the_licence() -> None:
    assert {project.name for project in projects() if (project.folder / "LICENSE").read_text() != LICENSE} == set()


@pytest.mark.parametrize("python", ["9.9"])
def test_an_environment_without_its_python_is_left_out(tmp_path: Path, python: str) -> None:
    outcome = environments.attempt("old", environments.Environment(python=python), tmp_path, tmp_path / "place")
    assert outcome.state == "left out"
    assert outcome.about.startswith(f"there is no Python {python}: ")


def test_environments_span_the_supported_versions() -> None:
    requires = projects()[0].table["requires-python"].removeprefix(">=")
    named = [
        name.rsplit(" ", 1)[1] for name in projects()[0].table["classifiers"] if " 3." in f" {name.split(':')[-1]}"
    ]
    assert environments.environments()["oldest"].python == requires == named[0]
    assert environments.environments()["newest"].python == named[-1]


def test_a_folder_with_files_and_unknown_environments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old.whl").write_bytes(b"")
    assert "is not empty" in CliRunner().invoke(main, ["--output", str(tmp_path)]).output
    refused = CliRunner().invoke(main, ["--output", str(tmp_path / "new"), "--environment", "newer"])
    assert "no environment 'newer'" in refused.output
    assert not (tmp_path / "new").exists()
