"""A run that must stop, or that loses a data worker, leaves a checkpoint: the real command, with real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from nanogen_train.checkpoint import checkpoint
from nanogen_train.trainer.batches import Stopped, WorkerLost, read_batches
from nanogen_train.trainer.signals import stop_request


@pytest.fixture
def config(small, tmp_path):
    small["train"].update(steps=100_000, log_every=1, checkpoint_every=0)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small))
    return path


def folders(tmp_path, small):
    """Class folders, which worker processes read."""
    for split in ("train", "val"):
        for word in ("cat", "dog"):
            folder = tmp_path / "data" / split / word
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (20, 20), (number * 50, 0, 0)).save(folder / f"{number}.png")
    return {**small, "dataset": {"name": "imagenet-folder", "root": str(tmp_path / "data")}, "metric": {}}


def started(config: Path, run: Path, *options: str) -> subprocess.Popen:
    """The command, once it has taken three steps."""
    command = [sys.executable, "-m", "nanogen_core", "train", str(config), "--output", str(run), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for line in process.stderr:
        if line.startswith("step 3/"):
            return process
    raise AssertionError(f"the run ended with {process.wait()}")


def ended(process: subprocess.Popen) -> tuple[int, str]:
    rest = process.stderr.read()
    return process.wait(timeout=300), rest


def children(process: subprocess.Popen) -> list[int]:
    tasks = Path(f"/proc/{process.pid}/task")
    found = [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [pid for pid, words in names.items() if b"resource_tracker" not in words]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_checkpoint(config, tmp_path, number):
    process = started(config, tmp_path / "run")
    process.send_signal(number)
    status, rest = ended(process)
    assert status == 130
    assert "Resume from the checkpoint of step" in rest
    assert len(checkpoint.steps_in(tmp_path / "run")) == 1


def test_a_signal_that_nohup_ignores_is_not_heard():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_sigterm_is_ignored_and_a_second_ctrl_c_is_not():
    with stop_request() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):  # SLURM and torchrun both send SIGTERM
            os.kill(os.getpid(), number)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_reader_of_the_output_that_goes_away_costs_nothing(config, tmp_path):
    process = started(config, tmp_path / "run", "--set", "train.steps=12")
    process.stderr.close()
    assert process.wait(timeout=300) == 0
    assert checkpoint.steps_in(tmp_path / "run") == [12]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds worker processes in /proc")
@pytest.mark.parametrize("kind", ["killed", "suspended"])
def test_a_lost_data_worker_costs_no_step(small, tmp_path, kind):
    small["train"].update(steps=100_000, log_every=1, checkpoint_every=0, num_workers=1)
    config = tmp_path / "folders.yaml"
    config.write_text(yaml.safe_dump(folders(tmp_path, small)))
    process = started(config, tmp_path / "run")
    (worker,) = children(process)
    os.kill(worker, signal.SIGKILL if kind == "killed" else signal.SIGSTOP)
    if kind == "suspended":
        time.sleep(2)
        process.send_signal(signal.SIGINT)
    status, rest = ended(process)
    assert status == (1 if kind == "killed" else 130), rest
    assert "Resume from the checkpoint of step" in rest
    assert "Traceback" not in rest
    assert len(checkpoint.steps_in(tmp_path / "run")) == 1
    assert not Path(f"/proc/{worker}").exists()


def test_batches_come_in_order_and_end():
    with read_batches(iter(range(5)), lambda: False, num_workers=1) as batches:
        assert list(batches) == [0, 1, 2, 3, 4]


def test_an_error_of_the_data_is_raised_by_the_loop():
    def broken():
        yield 1
        raise KeyError("x")

    with read_batches(broken(), lambda: False, num_workers=1) as batches, pytest.raises(KeyError):
        list(batches)


def test_a_lost_worker_has_a_name_of_its_own():
    def lost():
        raise RuntimeError("DataLoader worker (pid(s) 1) exited unexpectedly")
        yield

    with read_batches(lost(), lambda: False, num_workers=1) as batches, pytest.raises(WorkerLost, match="pid"):
        list(batches)


def test_a_stop_is_heard_while_waiting():
    def slow():
        time.sleep(3)
        yield

    with read_batches(slow(), lambda: True, num_workers=1) as batches, pytest.raises(Stopped):
        list(batches)
