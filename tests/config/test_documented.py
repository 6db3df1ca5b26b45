"""docs/configuration.md promises what these tests hold."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from nanogen_core.cli.main import cli
from nanogen_files import yaml_files

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
FILE = re.search(r"```yaml\n(.*?)```", DOCUMENT, re.S)[1]
ROWS = re.findall(r"^\| `(--set .*)` \| (.*) \|$", DOCUMENT, re.M)

pytestmark = pytest.mark.filterwarnings("ignore::nanogen_core.errors.ConfigWarning")


def shown(file, *settings):
    found = CliRunner().invoke(cli, ["config", "show", str(file), "--json", *settings], catch_exceptions=False)
    return json.loads(found.stdout)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(("settings", "result"), ROWS)
def test_every_row_of_the_table_holds(file, settings, result):
    values = shown(file, *shlex.split(settings))
    promised = re.findall(r"`([\w.-]+)`: `(.*?)`(?:, |$)", result)
    assert promised
    for path, expected in promised:
        value = values
        for key in path.split("."):
            value = value[key]
        assert value == json.loads(expected)


def test_the_table_was_found():
    assert len(ROWS) >= 15


def test_the_example_holds_for_both_tasks(file):
    assert shown(file)["train"]["steps"] == 1000
    assert shown(file, "--set", "task=t2i")["train"]["steps"] == 2000


def test_the_note_is_printed(file):
    command = [sys.executable, "-m", "nanogen_core", "config", "show", str(file), "--set", "backbone=ddt"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stderr.splitlines() == [re.search(r"^Note: .*$", DOCUMENT, re.M)[0]]
    assert yaml.safe_load(found.stdout)["backbone"]["size"] == "tiny"


def test_the_limits_are_those_of_the_code():
    for limit in (yaml_files.CHARACTERS, yaml_files.VALUES):
        assert f"{limit:,}" in DOCUMENT
    assert f"{yaml_files.DEPTH} nested levels" in " ".join(DOCUMENT.split())
    assert yaml.safe_load(FILE)["task"] == "imagenet"
