"""Which tests run with which wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import owners
from release.projects import Project


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Project]:
    """A repository with the core, `low`, `high` (which requires `low`) and `other`."""
    needs = {"nanogen-core": [], "nanogen-low": ["nanogen-core"], "nanogen-high": ["nanogen-low>=1", "attrs"]}
    needs["nanogen-other"] = ["nanogen-core"]
    found = {
        name: Project(
            tmp_path if name == "nanogen-core" else tmp_path / "plugins" / name,
            {"name": name, "dependencies": requirements},
            name.replace("-", "_"),
        )
        for name, requirements in needs.items()
    }
    monkeypatch.setattr(owners, "ROOT", tmp_path)
    monkeypatch.setattr(owners, "SHARED", tmp_path / "tests")
    monkeypatch.setattr(owners, "_by_name", lambda: found)
    for function in (owners.owner, owners.required, owners.closure, owners.imports):
        function.cache_clear()
    return found


def write(repository: dict[str, Project], path: str, *lines: str) -> Path:
    file = repository["nanogen-core"].folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["import nanogen_core"], "nanogen-core"),
        (["from nanogen_low.part import x", "import nanogen_core.y"], "nanogen-low"),
        (["import nanogen_low", "def test():", "    import nanogen_high"], "nanogen-high"),
        (["import nanogen_low", "import nanogen_other"], None),
        (["import nanogen_core", "from benchmarks.speed import x"], None),
        (["import json"], None),
        (["import nanogen_core", "from tests.help import x"], "nanogen-high"),
        (["import nanogen_core", "from tests import help"], "nanogen-high"),
        (["import nanogen_core", "from beside import x"], "nanogen-other"),
    ],
)
def test_a_file_belongs_to_the_distribution_that_requires_all_that_it_imports(repository, lines, expected):
    write(repository, "tests/help.py", "import nanogen_high")
    write(repository, "tests/part/beside.py", "import nanogen_other")
    file = write(repository, "tests/part/test_it.py", *lines)
    assert owners.owner(file) == expected


def test_the_files_of_a_plugin_come_with_the_helpers_that_they_import(repository):
    names = ("tests/test_a.py", "tests/helper.py", "tests/fixtures/data.bin")
    own = {write(repository, f"plugins/nanogen-low/{name}", "") for name in names}
    own.add(write(repository, "plugins/nanogen-low/tests/test_b.py", "from tests.help import x"))
    shared = {write(repository, "tests/help.py", "import tests.more"), write(repository, "tests/more.py")}
    write(repository, "tests/test_unrelated.py", "import nanogen_low")
    write(repository, "plugins/nanogen-low/tests/test_c.py", "import benchmarks.speed")
    assert owners.files_of(repository["nanogen-low"]) == own | shared


def test_a_distribution_without_a_folder_of_tests_owns_files_of_tests(repository):
    mine = {write(repository, "tests/part/test_a.py", "import nanogen_high"), write(repository, "tests/part/data.json")}
    mine.add(write(repository, "tests/conftest.py", "import pytest"))
    write(repository, "tests/part/test_b.py", "import nanogen_other")
    assert owners.files_of(repository["nanogen-high"]) == mine
