"""The commands and blocks of docs/weights.md run, in their order, with a tiny base.yaml."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from nanogen_core import Pipeline, build_pipeline
from nanogen_core.cli.main import cli
from nanogen_train import Run
from nanogen_train.logging import metrics_log

PAGE = (Path(__file__).parents[1] / "docs" / "weights.md").read_text(encoding="utf-8")
PLUGINS = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")


def blocks(language, text=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture
def here(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small["image_size"] = 32
    small["train"].update(steps=2, checkpoint_every=2)
    Path("base.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    return small


def run(line):
    words = shlex.split(line)
    assert words[0] == "nanogen"
    done = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.output


def test_every_command_of_the_page_runs(here):
    pytest.importorskip("peft")  # an extra of nanogen-train
    commands = [line for block in blocks("console") for line in block.splitlines() if not line.startswith("pip ")]
    assert len(commands) == 8
    outputs = {line: run(line) for line in commands}
    started = [output for line, output in outputs.items() if "--init" in line]
    assert len(started) == 5
    assert all(output.startswith("Start from runs/base (sha256 ") for output in started)
    assert Path("runs/lora/generated/grid.png").is_file()
    assert Pipeline.load("runs/merged").config.sections["train"].adapter is None
    (words,) = (output for line, output in outputs.items() if "task=t2i" in line)
    (shown,) = blocks("text")
    for line in shown.splitlines()[1:]:  # its names and rows; the numbers depend on the sizes
        assert re.sub(r"[\d,]+", "", line).split() == re.sub(r"[\d,]+", "", _row(words, line)).split()
    (python,) = blocks("python")
    exec(compile(python, "docs/weights.md", "exec"), {})


def _row(output, line):
    key = line.split()[0]
    return next(row for row in output.splitlines() if row.split()[:1] == [key])


def test_the_distillation_of_the_page_trains(here):
    build_pipeline(here).save("runs/base")
    (block,) = blocks("yaml")
    Run(build_pipeline({**here, **yaml.safe_load(block)}), Path("run")).train()
    assert metrics_log.read(Path("run"))[-1]["distill"] > 0


def test_the_positions_of_the_page_on_plugins_are_resized():
    import torch

    (block,) = (text for text in blocks("python", PLUGINS) if "class Positions" in text)
    names: dict = {}
    exec(compile(block, "docs/plugins.md", "exec"), names)
    from nanogen_files.adaptation import Origin
    from nanogen_train.init.start import adapt

    first, second = names["Positions"]((2, 2), 3), names["Positions"]((4, 4), 3)
    report = adapt(second, first.state_dict(), Origin(latent=(1, 2, 2)))
    assert report.names("resized") == ["table"]
    corners = second.table.reshape(4, 4, 3)[::3, ::3].reshape(4, 3)
    assert torch.dist(corners, first.table) < torch.dist(corners, first.table.flip(0))
