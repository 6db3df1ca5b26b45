"""Manifests that are wrong in one way, and the test of the contract that says so."""

import pytest
from contracts import failures

from nanogen_core.testing import PluginContract

HEALTHY = """
from nanogen_core.hookspecs import hookimpl
from nanogen_core.specs import Component, Method

NANOGEN_API = 1

@hookimpl
def nanogen_components():
    return [Component(kind="objective", name="mine", target="NAME_parts:Mine", config="NAME_parts:Config")]

@hookimpl
def nanogen_methods():
    return [Method(name="mine", defaults={"objective": {"name": "mine", "weight": 0.5}})]
"""
PARTS = """
import attrs

@attrs.frozen(kw_only=True)
class Config:
    weight: float = 0.05

class Mine:
    pass
"""


class Unlisted(PluginContract):
    installed = False


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """Writes a manifest and the module of its parts, and says which tests of the contract fail."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(name, replace=("", ""), parts=PARTS, contract=Unlisted):
        manifest = HEALTHY.replace(*replace) if replace[0] else HEALTHY
        (tmp_path / f"{name}.py").write_text(manifest.replace("NAME", name))
        (tmp_path / f"{name}_parts.py").write_text(parts)
        return failures(contract, manifest=name)

    return run


MANIFESTS = {
    "loads_torch": (("NANOGEN_API = 1", "import torch\nNANOGEN_API = 1"), {"manifest_imports_no_heavy_package"}),
    "no_api": (("NANOGEN_API = 1", ""), {"manifest_states_the_api_version"}),
    "misspelt_hook": (
        ("def nanogen_components()", "def nanogen_component()"),
        {"hook_names_exist"},
    ),
    "other_kind": (('kind="objective"', 'kind="objektive"'), {"kinds_and_capability_words_are_valid"}),
    "loose_word": (('name="mine", target', 'name="My Method", target'), {"kinds_and_capability_words_are_valid"}),
    "wrong_need": (
        ('config="NAME_parts:Config"', 'config="NAME_parts:Config", needs={"backbones": {"features"}}'),
        {"kinds_and_capability_words_are_valid"},
    ),
    "no_target": (("NAME_parts:Mine", "NAME_parts:Yours"), {"targets_can_be_imported"}),
    "no_config": (("NAME_parts:Config", "NAME_parts:Configuration"), {"configs_are_frozen_with_defaults"}),
    "wrong_slot": (('{"objective": {', '{"objektive": {'), {"defaults_are_partial_configurations"}),
}
CONFIGS = {
    "thawed": "@attrs.define(kw_only=True)\nclass Config:\n    weight: float = 0.05\n",
    "positional": "@attrs.frozen\nclass Config:\n    weight: float = 0.05\n",
    "demanding": "@attrs.frozen(kw_only=True)\nclass Config:\n    weight: float\n",
    "plain_class": "class Config:\n    weight = 0.05\n",
    "mistyped": "@attrs.frozen(kw_only=True)\nclass Config:\n    weight: float = '0.05'\n",
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_broken_manifest_is_caught(failing, name):
    replace, expected = MANIFESTS[name]
    assert failing(name, replace) == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_a_broken_config_is_caught(failing, name):
    parts = "import attrs\n\n" + CONFIGS[name] + "\nclass Mine:\n    pass\n"
    assert failing(name, parts=parts) == {"configs_are_frozen_with_defaults"}


def test_an_option_without_a_default_can_be_declared(failing):
    class Declared(Unlisted):
        required = frozenset({"weight"})

    parts = "import attrs\n\n" + CONFIGS["demanding"] + "\nclass Mine:\n    pass\n"
    assert failing("declared", parts=parts, contract=Declared) == set()


def test_a_single_file_may_import_torch_and_has_no_entry_point(failing):
    class SingleFile(PluginContract):
        single_file = True

    replace, _ = MANIFESTS["loads_torch"]
    assert failing("single", replace, contract=SingleFile) == set()
    assert failing("mistaken", MANIFESTS["no_api"][0], contract=SingleFile) == {"manifest_states_the_api_version"}


def test_an_empty_manifest_is_caught(failing):
    assert failing("empty", ("return [", "return [] and [")) == {"components_or_methods_are_offered"}


def test_a_name_that_comes_twice_is_caught(failing):
    assert failing("twice", ("    return [Component", "    return 2 * [Component")) == {"names_are_unique"}


def test_a_missing_entry_point_is_caught(failing):
    assert failing("missing", contract=PluginContract) == {"entry_point_exists"}


def test_the_healthy_manifest_holds(failing):
    assert failing("healthy") == set()
