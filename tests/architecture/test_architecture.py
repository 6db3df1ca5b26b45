"""Imports go one way, between distributions and between modules; the page of the docs shows them as they are."""

import re

import pytest

from nanogen_core.registry import registry
from tests.architecture.diagram import PAGE, diagram, page_with
from tests.architecture.imports_of import CORE, cycles, distributions, imported, module_graph, modules, packages


def test_the_core_imports_nanogen_files_alone():
    assert distributions()[CORE] == {"nanogen_files"}
    assert distributions()["nanogen_files"] == set()


def test_no_distributions_and_no_modules_import_each_other_in_a_circle():
    assert cycles(distributions()) == []
    graph = module_graph()
    assert len(graph) > 400
    assert cycles(graph) == []


def test_a_circle_would_be_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


def test_no_private_name_is_imported_from_another_distribution():
    private = [
        (module, target, name)
        for package in packages()
        for module, file in modules(package).items()
        for target, name in imported(file)
        if target.partition(".")[0] in packages().keys() - {package} and (name or "").startswith("_")
    ]
    assert private == []


@pytest.mark.parametrize("package", packages())
def test_the_public_names_of_a_package_exist(package):
    root = __import__(package)
    assert [name for name in root.__all__ if getattr(root, name, None) is None] == []


def test_the_core_names_no_verb_kind_or_section_of_another_distribution():
    """The code of the core, without its own manifest and its docstrings, holds none of their names as a text."""
    known = registry()
    verbs = {verb for verb, command in known.commands.items() if command.distribution != "nanogen-core"}
    own = {"encoder"}  # a word of other meanings too
    kinds = {"stage", "optimizer", "schedule", "auxiliary", "metric", "features"} - own
    forbidden = {f'"{word}"' for word in {*verbs, *kinds, *known.sections}}
    found = [
        (name, word)
        for name, file in modules(CORE).items()
        if not name.startswith(f"{CORE}.testing") and name != f"{CORE}.builtin"
        for word in forbidden
        if word in re.sub(r'""".*?"""', "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    ]
    assert found == []


def test_the_diagram_shows_the_imports():
    assert PAGE.read_text(encoding="utf-8") == page_with(diagram())


def test_the_page_names_files_that_exist():
    named = set(re.findall(r"`(nanogen_\w+/[\w./-]+\.py)`", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 20
    folders = {path.name: path.parent for path in packages().values()}
    assert [name for name in sorted(named) if not (folders[name.split("/")[0]] / name).is_file()] == []
