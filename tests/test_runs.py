"""`nanogen runs`: every state as real runs leave it, made-up damage, and a thousand of them."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
import yaml
from click.testing import CliRunner
from filelock import FileLock

from nanogen_core import build_pipeline
from nanogen_core.errors import DataError, TrainingError
from nanogen_core.tensors import Losses
from nanogen_files.folder_lock import LOCK, LOCK_FILES
from nanogen_train.checkpoint import checkpoint
from nanogen_train.cli.runs import runs as command
from nanogen_train.logging import metrics_log
from nanogen_train.runs import describe, runs_in
from nanogen_train.trainer import failure_report
from nanogen_train.trainer.loop import Run
from nanogen_train.trainer.run_lock import run_lock


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run; tests work on copies."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    Run(build_pipeline(CONFIG), folder).train()
    return folder


CONFIG = {
    "task": "imagenet",
    "image_size": 16,
    "dataset": {"name": "openmoji", "train": 32, "val": 16},
    "tokenizer": "openmoji-vae",
    "backbone": {"name": "lightning-dit", "hidden": 16, "depth": 1, "heads": 1},
    "objective": "flow",
    "sampler": {"name": "euler", "steps": 2},
    "train": {"steps": 6, "batch_size": 8, "precision": "fp32", "log_every": 1, "sample_count": 1,
              "checkpoint_every": 3, "trackers": []},
}  # fmt: skip


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "runs" / "one", copy_function=shutil.copy2)


def listed(folder):
    said = CliRunner().invoke(command, [str(folder), "--json"], catch_exceptions=False)
    return json.loads(said.output)


def test_a_finished_run(run):
    [found] = runs_in(run.parent)
    last = metrics_log.read(run)[-1]
    assert (found.state, found.step, found.steps) == ("finished", 6, 6)
    assert (found.task, found.method, found.note) == ("imagenet", "flow", None)
    assert (found.loss, found.images_per_second) == (last["loss"], last["images_per_second"])
    assert runs_in(run) == [found]  # the folder of a run itself


def test_a_run_without_its_last_checkpoint_has_stopped(run):
    shutil.rmtree(checkpoint.path_of(run, 6))
    found = describe(run)
    assert (found.state, found.step, found.note) == ("stopped", 3, None)


def test_a_finished_run_whose_checkpoints_were_deleted_is_finished(run):
    shutil.rmtree(run / checkpoint.FOLDER)
    assert (describe(run).state, describe(run).note) == ("finished", "without checkpoints")


def test_a_run_that_holds_its_lock_is_running(run):
    shutil.rmtree(checkpoint.path_of(run, 6))
    with run_lock(run):
        found = describe(run)
    assert (found.state, found.step) == ("running", 6)  # of the log
    assert f"process {os.getpid()} on" in found.note
    assert describe(run).state == "stopped"


def test_a_look_does_not_keep_a_run_from_starting(run):
    with FileLock(run / LOCK) as look:  # in the middle of a look
        code = (
            "import sys; from pathlib import Path; from nanogen_train.trainer.run_lock import run_lock\n"
            f"print('starts', flush=True)\nwith run_lock(Path({str(run)!r})): print('holds')"
        )
        starting = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert starting.stdout.readline() == "starts\n"
        time.sleep(0.05)
        look.release()
        assert starting.communicate(timeout=60)[0] == "holds\n"
    before = {
        file: file.stat().st_mtime_ns for file in run.rglob("*") if file.is_file() and file.name not in LOCK_FILES
    }
    describe(run)
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_no_lock_is_made_where_there_was_none(run):
    (run / LOCK).unlink()
    describe(run)
    assert not (run / LOCK).exists()


def test_a_failed_run_says_why_and_a_resumed_one_forgets_it(tmp_path):
    training = Run(build_pipeline(CONFIG), tmp_path)
    loss = training.stage.loss

    def poisoned(phase, batch, rng):
        losses = loss(phase, batch, rng)
        return Losses(losses.total * (torch.nan if training.step == 4 else 1))

    training.stage.loss = poisoned
    with pytest.raises(TrainingError, match="Step 5"):
        training.train()
    found = describe(tmp_path)
    assert (found.state, found.step) == ("failed", 3)
    assert found.note.startswith("TrainingError: Step 5: loss is nan")
    Run(build_pipeline(CONFIG), tmp_path, resume=True).train()
    assert (describe(tmp_path).state, (tmp_path / failure_report.FILE).exists()) == ("finished", False)


def test_a_run_that_was_asked_to_stop_has_not_failed(tmp_path):
    from nanogen_train.trainer.loop import Interrupted

    with pytest.raises(Interrupted), failure_report.report_failure(tmp_path, lambda: 1, ignored=Interrupted):
        raise Interrupted("Stopped")
    assert failure_report.reason(tmp_path) is None


def test_a_second_run_in_the_folder_leaves_no_note(run):
    shutil.rmtree(checkpoint.path_of(run, 6))
    second = Run(build_pipeline(CONFIG), run, resume=True)
    with run_lock(run), pytest.raises(TrainingError, match="Another process .*is training in "):
        second.train()
    assert describe(run).state == "stopped"


@pytest.mark.parametrize(
    ("damage", "state", "note"),
    [
        (lambda run: (run / "config.yaml").unlink(), "damaged", "config.yaml cannot be read: the file does not exist"),
        (lambda run: (run / "config.yaml").write_text("a: [1"), "damaged", "config.yaml is not the configuration"),
        (lambda run: (run / "config.yaml").write_text("- 1"), "damaged", "config.yaml is not the configuration"),
        (lambda run: (run / "config.yaml").write_bytes(b"\xff\xfe"), "damaged", "config.yaml is not the config"),
        (lambda run: _shorten(run, 6), "stopped", "the checkpoint of step 6 is corrupt"),
        (lambda run: [_shorten(run, 3), _shorten(run, 6)], "damaged", "all checkpoints are corrupt"),
        (
            lambda run: (checkpoint.path_of(run, 6) / "manifest.json").write_text("[1]"),
            "stopped",
            "of step 6 is corrupt",
        ),
        (lambda run: (run / "log.jsonl").write_bytes(b'{"step": 6, "lo'), "finished", ""),
        (lambda run: (run / "log.jsonl").write_text("[]\n"), "finished", ""),
        (lambda run: (run / failure_report.FILE).write_text("{"), "finished", ""),
    ],
)
def test_damage_is_named_and_never_an_exception(run, damage, state, note):
    damage(run)
    found = describe(run)
    assert found.state == state
    assert note in (found.note or "")
    assert listed(run.parent)[0]["state"] == state


def _shorten(run, step):
    path = checkpoint.path_of(run, step) / "nets.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def test_the_newest_comes_first_and_only_ends_of_logs_are_read(run):
    other = shutil.copytree(run, run.parent / "deeper" / "two")
    with (other / "log.jsonl").open("w") as log:
        log.writelines(json.dumps({"step": step, "loss": 0.5, "filling": "x" * 1000}) + "\n" for step in range(2000))
    os.utime(run / "log.jsonl", (1, 1))
    (run.parent / ".hidden").mkdir()
    shutil.copytree(run, run.parent / ".hidden" / "three")
    found = listed(run.parent)
    assert [entry["folder"] for entry in found] == [str(other), str(run)]
    assert found[0]["loss"] == 0.5


def test_the_table(run):
    said = CliRunner().invoke(command, [str(run.parent)]).output.splitlines()
    assert said[0].split()[:5] == ["state", "step", "task", "method", "loss"]
    assert said[1].split()[:4] == ["finished", "6/6", "imagenet", "flow"]
    assert str(run) in said[1]


def test_a_folder_without_runs_and_no_folder(tmp_path):
    assert CliRunner().invoke(command, [str(tmp_path)]).output == f"No runs in {tmp_path}.\n"
    with pytest.raises(DataError, match="There is no folder .*nowhere. Give the folder that contains your runs"):
        runs_in(tmp_path / "nowhere")


def test_a_thousand_runs_are_listed_without_torch(finished, tmp_path):
    config = (finished / "config.yaml").read_text()
    assert yaml.safe_load(config)["train"]["steps"] == 6
    for number in range(1000):
        folder = tmp_path / f"run-{number:04d}"
        folder.mkdir()
        (folder / "config.yaml").write_text(config)
        (folder / "log.jsonl").write_text('{"step": 2, "loss": 1.5}\n')
    code = (
        f"import sys; sys.argv = ['nanogen', 'runs', {str(tmp_path)!r}, '--json']\n"
        "from nanogen_core.cli.main import cli\ncli(standalone_mode=False)\n"
        "heavy = {'torch', 'accelerate', 'numpy', 'rich'} & set(sys.modules); assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert [entry["state"] for entry in json.loads(done.stdout)] == ["stopped"] * 1000
