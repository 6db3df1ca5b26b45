"""The README's Python blocks and commands run, with a shortened demo."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml

from tests.processes import forked

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT = [
    *("--set", "train.steps=2", "--set", "train.batch_size=8", "--set", "dataset.train=64", "--set", "sampler.steps=2"),
    *("--set", "train.sample_count=4", "--set", "backbone.hidden=32", "--set", "backbone.depth=1"),
    *("--set", "backbone.heads=2"),
]
SHORTER = {
    "train": SHORT,
    "evaluate": ["--count", "32", "--intervals", "10", "--set", "dataset.val=64"],
    "plan": ["--set", "backbone.depth=2"],
}
#: Lies over examples/*.yaml, whose whole forms are those of test_examples.py.
SMALL = {"dataset": {"name": "openmoji", "train": 64, "val": 64}, "sampler": {"steps": 2}}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return succeeded(done)


def succeeded(done):
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a short `make demo` has run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").mkdir()
    for file in (ROOT / "examples").glob("*.yaml"):
        example = yaml.safe_load(file.read_text(encoding="utf-8"))
        example["train"]["sample_count"] = 4
        (folder / "examples" / file.name).write_text(yaml.safe_dump({**example, **SMALL}), encoding="utf-8")
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
    done = succeeded(forked.nanogen("demo", "--samples", "64", *SHORT, cwd=folder))
    assert "accuracy" in done
    assert (folder / "runs" / "demo.old-1" / "mine.txt").read_text() == "kept"
    assert (folder / "runs" / "demo.old-1" / "log.jsonl").read_text() == log
    assert len((folder / "runs" / "demo" / "log.jsonl").read_text().splitlines()) == 1


def test_the_python_block_trains_and_samples(folder):
    (block,) = blocks("python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    small = {"train": {"steps": 2, "batch_size": 8}, "dataset": {"train": 64}, "sampler": {"steps": 2}}
    small["backbone"] = {"hidden": 32, "depth": 1, "heads": 2}
    shorter = block.replace('task="imagenet")', f'task="imagenet", **{small})').replace("runs/demo", "runs/python")
    assert shorter.count("runs/python") == 2
    succeeded(forked.python(f"{shorter}\nassert len(images) == 2", cwd=folder))
    assert (folder / "apple.png").exists()
    assert {"log.jsonl", "checkpoints", "samples"} <= {path.name for path in (folder / "runs" / "python").iterdir()}


def test_the_commands_run_in_their_order(folder):
    install, commands = blocks("console")
    assert install.splitlines()[1:] == ["make install", "source .venv/bin/activate"]
    for line in commands.strip().splitlines():
        program, verb, *words = shlex.split(line)
        assert program == "nanogen"
        words = [word.replace("runs/demo", "runs/commands") for word in words]
        succeeded(forked.nanogen(verb, *words, *SHORTER.get(verb, []), cwd=folder))


def test_the_extra_of_the_installation_exists():
    named = set(re.findall(r"nanogen-core\[(\w+)\]", README))
    assert {"all", "demo"} <= named <= set(metadata("nanogen-core").get_all("Provides-Extra", []))


def test_make_has_the_targets_of_the_page():
    for target in ("install", "demo", "test", "docs"):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_linked_files_exist():
    for target in re.findall(r"\]\(((?!http|#)[^)#]+)(?:#[^)]*)?\)", README):
        assert (ROOT / target).exists(), target
