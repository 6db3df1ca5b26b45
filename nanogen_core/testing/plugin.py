"""Contract tests for plugin manifests: no heavy imports, valid references, frozen attrs configs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import attrs
import pluggy
import pytest

from nanogen_core import hookspecs
from nanogen_core.config import import_object
from nanogen_core.config_layers import normalise
from nanogen_core.registry import registry
from nanogen_core.specs import Component, Kind, Method
from nanogen_files.structure import plain, structure

HEAVY = ("torch", "diffusers", "transformers", "timm", "torchmetrics", "torchvision")
WORD = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
LISTING = """
import importlib, sys
manifest = importlib.import_module({manifest!r})
for hook in ("nanogen_components", "nanogen_methods", "nanogen_recipes", "nanogen_plans"):
    getattr(manifest, hook, list)()
print(*[name for name in {heavy!r} if name in sys.modules])
"""


class PluginContract:
    """Contract of a manifest.

    Fixtures:
        manifest: Name of the manifest module, as in the entry point.

    Attributes:
        installed: Whether an entry point references the manifest.
        single_file: Whether the plugin is a file for `--plugin`, which has no entry point and may import torch.
        required: Names of options that have no default, such as the path of a file.
    """

    installed: bool = True
    single_file: bool = False
    required: frozenset[str] = frozenset()

    def test_manifest_imports_no_heavy_package(self, manifest: str) -> None:
        if self.single_file:
            pytest.skip("a single file may import torch")
        script = LISTING.format(manifest=manifest, heavy=HEAVY)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert ran.returncode == 0, ran.stderr
        heavy = ", ".join(ran.stdout.split())
        assert not heavy, (
            f"Importing {manifest} imports {heavy}: move the code that needs it to another module, which `target`"
            " names. A plugin that is a single file may import it: set the attribute `single_file`."
        )

    def test_manifest_states_the_api_version(self, manifest: str) -> None:
        assert getattr(import_module(manifest), "NANOGEN_API", None) == hookspecs.API

    def test_hook_names_exist(self, manifest: str) -> None:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(import_module(manifest))
        manager.check_pending()  # raises for a misspelt hook

    def test_entry_point_exists(self, manifest: str) -> None:
        if self.single_file or not self.installed:
            pytest.skip("the manifest has no entry point")
        assert manifest in {point.value for point in entry_points(group="nanogen")}

    def test_components_or_methods_are_offered(self, manifest: str) -> None:
        components, methods = _components(manifest), _methods(manifest)
        assert components or methods
        assert {type(item) for item in components} <= {Component}
        assert {type(item) for item in methods} <= {Method}

    def test_names_are_unique(self, manifest: str) -> None:
        names = [(item.kind, item.name) for item in _components(manifest)]
        names += [("method", item.name) for item in _methods(manifest)]
        assert sorted(set(names)) == sorted(names)

    def test_kinds_and_capability_words_are_valid(self, manifest: str) -> None:
        for component in _components(manifest):
            assert {component.kind, *component.needs} <= self._kinds(manifest)
            words = {component.name, *component.provides, *(w for slot in component.needs.values() for w in slot)}
            assert [word for word in sorted(words) if not WORD.fullmatch(word)] == []

    def _kinds(self, manifest: str) -> set[str]:
        """Return the installed kinds and those that the manifest defines."""
        own: list[Kind] = getattr(import_module(manifest), "nanogen_kinds", list)()
        return {*registry().kinds, *(kind.name for kind in own)}

    def test_targets_can_be_imported(self, manifest: str) -> None:
        for component in _components(manifest):
            for reference in filter(None, (component.target, component.importer)):
                assert callable(import_object(reference)), reference

    def test_configs_are_frozen_with_defaults(self, manifest: str) -> None:
        for component in _components(manifest):
            if component.config is not None:
                _check_config(import_object(component.config), self.required)

    def test_defaults_are_partial_configurations(self, manifest: str) -> None:
        problems: list[str] = []
        for component in _components(manifest):
            normalise(component.defaults, problems)
        for method in _methods(manifest):
            for layer in (method.defaults, *method.per_task.values()):
                normalise(layer, problems)
        assert problems == []


def _components(manifest: str) -> list[Component]:
    return list(getattr(import_module(manifest), "nanogen_components", list)())


def _methods(manifest: str) -> list[Method]:
    return list(getattr(import_module(manifest), "nanogen_methods", list)())


def _check_config(config: type, required: frozenset[str]) -> None:
    assert attrs.has(config), f"{config} must be an attrs class"
    fields = attrs.fields(config)
    assert [field.name for field in fields if not field.kw_only] == []
    undecided = {field.name for field in fields if field.default is attrs.NOTHING}
    assert undecided - required == set()
    if not undecided:
        _check_defaults(config)


def _check_defaults(config: type) -> None:
    assert structure(plain(config()), config, config.__name__) == config()  # `Pipeline.save` relies on this round trip
    for field in attrs.fields(config)[:1]:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(config(), field.name, None)
