"""check-plugin passes a sound plugin, and names the failed check of each broken one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import run_beside, write_metadata

from nanogen_scaffold.project import new_project

CHECK = """
import json, sys
import torch
from nanogen_core.errors import NanoGenError
from nanogen_scaffold import check_plugin
torch.set_num_threads(1)
for name, (settings, left_out) in json.loads(sys.argv[1]).items():
    print("\\t".join([name, json.dumps(check_plugin(name, settings=settings, left_out=left_out).as_dict())]))
for name in ("nowhere", "sounnd", "attrs"):
    try:
        check_plugin(name)
    except NanoGenError as error:
        print("\\t".join([f"error {name}", json.dumps(str(error))]))
"""
COMMAND = "from nanogen_core.cli.main import main; main()"
TRAININGS = (" on imagenet", " on t2i")
FAST = ("types", *TRAININGS)
#: name -> (kind, file, text in it, replacement, checks that are left out, failed check, words of the reason)
BROKEN = {
    "old-api": (
        "objective", "plugin.py", "NANOGEN_API = 1", "NANOGEN_API = 0",
        (), "NANOGEN_API is 1", "has NANOGEN_API = 0",
    ),
    "no-import": (
        "objective", "plugin.py", "NANOGEN_API = 1", "import nowhere\n\nNANOGEN_API = 1",
        (), "the manifest nanogen_no_import.plugin can be imported", "No module named 'nowhere'",
    ),
    "wrong-hook": (
        "objective", "plugin.py", "def nanogen_components", "def nanogen_component",
        (), "the hooks are valid", "unknown hook 'nanogen_component'",
    ),
    "heavy": (
        "objective", "plugin.py", "NANOGEN_API = 1", "import torch\n\nNANOGEN_API = 1",
        FAST, "manifest imports no heavy package", "torch",
    ),
    "no-target": (
        "objective", "plugin.py", "objective:NoTarget", "objective:Nothing",
        FAST, "targets can be imported", "Nothing",
    ),
    "unmet": (
        "sampler", "plugin.py", "instantaneous-velocity", "instantaneous-velocitee",
        FAST, "installed components meet its needs", "instantaneous-velocitee: none is installed",
    ),
    "wrong-sign": (
        "objective", "objective.py", "(v.float() - u)", "(v.float() + u)",
        FAST, "loss is lowest for the true prediction", "of the wrong sign",
    ),
    "global-numbers": (
        "objective", "objective.py", 'rng.normal("time", ())', "torch.randn(len(clean.latent))",
        FAST, "loss uses only its rng", "use a KeyedRNG",
    ),
    "blind": (
        "backbone", "backbone.py", "if condition.mask is None:", "if True:",
        FAST, "masked tokens have no effect", "max_difference",
    ),
    "idle": (
        "stage", "stage.py", "average.lerp_(value, 1 - self.config.ema_decay)", "pass",
        ("mypy",), "stage idle on t2i", "No weight changed in 5 steps.",
    ),
    "unbuilt": (
        "stage", "stage.py", "self.config, self.pipeline = config, pipeline", 'raise ValueError("never")',
        FAST, "builds for imagenet", "ValueError: never",
    ),
    "wrong-type": (
        "guidance", "guidance.py", "level = 1", 'level: int = "1"',
        TRAININGS, "mypy --strict", "Incompatible types in assignment",
    ),
}  # fmt: skip
#: name -> settings that make a network of 21 million parameters small: the contract builds it 34 times
SMALL = {"blind": {"backbone": {"width": 32, "depth": 2, "heads": 2}}}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> dict[str, Any]:
    """The reports of one sound and all broken plugins, made in one process."""
    folder = tmp_path_factory.mktemp("plugins")
    projects = [new_project("sound", "objective", folder)]
    for name, (kind, file, text, replacement, *_) in BROKEN.items():
        projects.append(new_project(name, kind, folder))
        path = next(projects[-1].glob(f"nanogen_*/{file}"))
        found = path.read_text(encoding="utf-8")
        assert text in found
        path.write_text(found.replace(text, replacement), encoding="utf-8")
    for project in projects:
        write_metadata(project)
    cache = str(pytestconfig.cache.mkdir("mypy-of-plugins"))  # type: ignore[union-attr]
    left_out = {"sound": (), **{name: row[4] for name, row in BROKEN.items()}}
    wanted = json.dumps({name: (SMALL.get(name, {}), left_out[name]) for name in left_out})
    ran = run_beside(projects, "-c", CHECK, wanted, cwd=folder, MYPY_CACHE_DIR=cache)
    assert ran.returncode == 0, ran.stderr
    lines = [line.split("\t") for line in ran.stdout.splitlines() if "\t" in line]
    return {"projects": projects, **{name: json.loads(report) for name, report in lines}}


def test_a_sound_plugin_passes_everything(checked: dict[str, Any]) -> None:
    report = checked["sound"]
    assert report["distribution"] == "nanogen-sound"
    assert (report["failed"], report["left_out"]) == (0, 0), report["checks"]
    assert {check["group"].split()[0] for check in report["checks"]} == {
        "discovery", "manifest", "objective", "types", "training",
    }  # fmt: skip
    assert [check["name"] for check in report["checks"] if check["group"] == "training"] == [
        "objective sound on imagenet",
        "objective sound on t2i",
    ]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_fails_the_named_check(checked: dict[str, Any], name: str) -> None:
    *_, check, words = BROKEN[name]
    failed = {found["name"]: found["reason"] for found in checked[name]["checks"] if found["state"] == "failed"}
    assert check in failed, checked[name]["checks"]
    assert words in failed[check]


@pytest.mark.parametrize("name", ["old-api", "no-import", "wrong-hook"])
def test_the_rest_is_left_out_if_the_plugin_cannot_be_loaded(checked: dict[str, Any], name: str) -> None:
    rest = [check for check in checked[name]["checks"] if check["group"] != "discovery"]
    assert [check["group"] for check in rest] == ["contracts", "types", "training"]
    assert {(check["state"], check["reason"]) for check in rest} == {("left out", "The plugin cannot be loaded.")}


def test_checks_that_are_left_out_say_so(checked: dict[str, Any]) -> None:
    left_out = {c["name"]: c["reason"] for c in checked["wrong-sign"]["checks"] if c["state"] == "left out"}
    assert left_out["mypy --strict"] == left_out["objective wrong-sign on t2i"] == "Left out by --leave-out."


def test_an_unknown_name_is_one_sentence_with_a_hint(checked: dict[str, Any]) -> None:
    assert checked["error nowhere"].startswith("No installed distribution, component or method has the name 'nowhere'.")
    assert "Did you mean 'sound'?" in checked["error sounnd"]
    assert checked["error attrs"].startswith("attrs is installed, but has no entry point in the group `nanogen`.")


def test_the_command_prints_a_table_or_json_and_ends_with_status_1(checked: dict[str, Any], tmp_path: Path) -> None:
    def command(*words: str) -> Any:
        return run_beside(checked["projects"], "-c", COMMAND, "check-plugin", "old-api", *words, cwd=tmp_path)

    table, as_json = command(), command("--json")
    assert (table.returncode, as_json.returncode) == (1, 1)
    assert json.loads(as_json.stdout) == checked["old-api"]
    lines = table.stdout.splitlines()
    assert lines[0] == "nanogen-old-api 0.1.0"
    assert "  failed    discovery  NANOGEN_API is 1" in lines
    assert lines[-1] == "5 checks: 1 passed, 1 failed, 3 left out"


def test_without_mypy_the_types_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from nanogen_scaffold.checks import typing_check

    hidden: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr(typing_check, "find_spec", hidden)
    check = typing_check.check_types("nanogen_scaffold.plugin")
    assert (check.state, check.reason) == ("left out", "mypy is not installed: run `pip install mypy`.")
