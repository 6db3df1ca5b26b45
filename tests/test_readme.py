"""The README's Python lines and commands run, on a demo that is cut short."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT = [
    *("--set", "train.steps=2", "--set", "train.batch_size=8", "--set", "dataset.train=64", "--set", "sampler.steps=2"),
    *("--set", "train.sample_count=4", "--set", "backbone.hidden=32", "--set", "backbone.depth=1"),
    *("--set", "backbone.heads=2"),
]
SHORTER = {
    "train": SHORT,
    "evaluate": ["--count", "128", "--set", "dataset.val=64"],
    "data": ["--set", "dataset.train=64"],
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which `make demo` has run, as far as the README's lines can see."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(ROOT / "examples")
    last = run(["nanogen", "demo", "--samples", "64", *SHORT], folder).strip().splitlines()[-1]
    assert last.startswith("accuracy ")
    return folder


def test_the_demo_leaves_what_it_promises(folder):
    names = {path.name for path in (folder / "runs" / "demo").iterdir()}
    assert {"samples.png", "summary.json", "log.jsonl", "config.yaml", "pipeline.json", "backbone.safetensors"} <= names
    import json

    summary = json.loads((folder / "runs" / "demo" / "summary.json").read_text())
    assert list(summary) == [
        *("accuracy", "train_seconds", "steps", "images_per_second", "parameters", "seed", "precision"),
    ]


def test_a_second_demo_begins_anew_and_moves_the_first_one_aside(folder):
    (folder / "runs" / "demo" / "mine.txt").write_text("kept")
    log = (folder / "runs" / "demo" / "log.jsonl").read_text()
    done = run(["nanogen", "demo", "--samples", "64", *SHORT], folder)
    assert "accuracy" in done
    assert (folder / "runs" / "demo.old-1" / "mine.txt").read_text() == "kept"
    assert (folder / "runs" / "demo.old-1" / "log.jsonl").read_text() == log
    assert len((folder / "runs" / "demo" / "log.jsonl").read_text().splitlines()) == 1


def test_the_python_lines_run(folder):
    lines, own_network = blocks("python")
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10
    run([sys.executable, "-c", lines], folder)
    assert (folder / "apple.png").exists()
    run([sys.executable, "-c", own_network], folder)
    assert (folder / "runs" / "mine" / "backbone.safetensors").exists()


def test_the_commands_run_in_their_order(folder):
    first, *rest = blocks("console")
    assert first.split("\n")[:2] == ["make demo", "make test"]
    for line in "".join(rest).strip().splitlines():
        command = shlex.split(line)
        run(command + SHORTER.get(command[1], []), folder)


def test_make_knows_the_two_commands():
    for target in ("demo", "test"):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_links_lead_somewhere():
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target
