"""The page on plugins says what the code has, and the tutorial shows the files that it is about."""

import re
from pathlib import Path

import attrs
import pytest

from nanogen_core import hookspecs, testing
from nanogen_core.registry import registry
from nanogen_core.specs import Component, Kind, Method
from nanogen_eval import testing as eval_testing
from nanogen_train import testing as train_testing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
EXAMPLE = ROOT / "examples" / "third_party_method"
SHOWN = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)\n```$", (EXAMPLE / "README.md").read_text(), re.M | re.S)


def section(title):
    """The text below a heading of the page, to the next one."""
    return re.split(r"^## .*$", PAGE.split(f"## {title}\n")[1], flags=re.M)[0]


def test_the_page_names_every_hook_with_its_arguments():
    hooks = {name: getattr(hookspecs, name) for name in vars(hookspecs) if name.startswith("nanogen_")}
    signatures = {f"{name}({', '.join(hook.__code__.co_varnames)})" for name, hook in hooks.items()}
    assert set(re.findall(r"^\| `(nanogen_\w+\(.*?\))`", section("Hooks"), flags=re.M)) == signatures


def test_the_page_names_every_field_of_a_component_and_a_method():
    named = set(re.findall(r"^\| `(\w+)`", section("Components"), flags=re.M))
    assert named == {field.name for field in attrs.fields(Component)}
    assert {field.name for field in attrs.fields(Method)} <= set(re.findall(r"`(\w+)`", section("Components")))


def test_the_page_names_every_kind():
    words = set(re.findall(r"`(\w+)`", section("Kinds").split("These kinds are installed.")[1]))
    assert set(registry().kinds) <= words
    assert {field.name for field in attrs.fields(Kind)} <= set(re.findall(r"\b(\w+)\b", section("Kinds")))


def test_the_page_names_every_contract():
    contracts = {*testing.__all__, *eval_testing.__all__, *train_testing.__all__, "FilesContract"}
    assert set(re.findall(r"^\| `(\w+)`", section("Testing it"), flags=re.M)) == contracts


def test_the_tutorial_shows_something():
    assert len(SHOWN) >= 5


@pytest.mark.parametrize(("name", "text"), SHOWN, ids=[name for name, _ in SHOWN])
def test_the_tutorial_shows_the_files_as_they_are(name, text):
    assert (EXAMPLE / name).read_text().rstrip() == text
