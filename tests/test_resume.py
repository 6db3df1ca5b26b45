"""What is left when a run dies, and what one that goes on from it makes of that: damage, full disks, two at once."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from nanogen_core import build_pipeline
from nanogen_core.errors import DataError, TrainingError
from nanogen_files import storage, yaml_files
from nanogen_train.checkpoint import checkpoint, integrity
from nanogen_train.logging import metrics_log
from nanogen_train.trainer.loop import Run
from nanogen_train.trainer.run_lock import run_lock

KILLS = 6
KILLING = Path(__file__).parent / "processes" / "killing.py"
STATES = {"nets": {"weight": torch.arange(100.0)}, "optimizer-student": {"weight|exp_avg": torch.ones(100)}}


def run(config: dict[str, Any], folder: Path, **options: Any) -> Run:
    return Run(build_pipeline(config), folder, **options)


def end(folder: Path) -> tuple[dict[str, dict[str, torch.Tensor]], list[dict[str, Any]]]:
    log = [{k: v for k, v in entry.items() if k not in metrics_log.CLOCKS} for entry in metrics_log.read(folder)]
    return checkpoint.load(folder, checkpoint.newest(folder))[0], log


def assert_same_end(first: Path, second: Path) -> None:
    (one, log), (two, again) = end(first), end(second)
    assert log == again
    assert one.keys() == two.keys()
    for part, tensors in one.items():
        assert tensors.keys() == two[part].keys()
        assert all(torch.equal(tensor, two[part][name]) for name, tensor in tensors.items())


# -- a process that is killed ----------------------------------------------------------------------------------------


def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_is_not(tmp_path: Path) -> None:
    """Real deaths of a training on class folders; `make torture` has more of them, and more kinds."""
    ended = subprocess.run(
        [sys.executable, str(KILLING), str(tmp_path), "--kills", str(KILLS)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    print(ended.stdout)  # the seed, which repeats the moments
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("killed ") == KILLS


def test_a_folder_without_a_run_is_not_begun_by_resume(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from nanogen_core.cli.main import cli

    answer = CliRunner().invoke(cli, ["train", str(tmp_path), "--resume"])
    assert isinstance(answer.exception, TrainingError)
    assert "Cannot resume" in str(answer.exception)
    assert not list(tmp_path.iterdir())


# -- damaged checkpoints ---------------------------------------------------------------------------------------------


def truncated(folder: Path) -> None:
    file = folder / "nets.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def zero_filled(folder: Path) -> None:
    """As after a power cut on a file system that had made the file long before it wrote it."""
    file = folder / "nets.safetensors"
    file.write_bytes(bytes(file.stat().st_size))


def flipped(folder: Path) -> None:
    """One bit of the last tensor: still a valid file, which only its hash tells from a whole one."""
    file = folder / "optimizer-student.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)


def changed_facts(folder: Path) -> None:
    file = folder / "state.json"
    file.write_text(file.read_text().replace('"step": 6', '"step": 7'))


def missing(folder: Path) -> None:
    (folder / "optimizer-student.safetensors").unlink()


def unsealed(folder: Path) -> None:
    (folder / integrity.MANIFEST).unlink()


def half_manifest(folder: Path) -> None:
    file = folder / integrity.MANIFEST
    file.write_text(file.read_text()[:40])


def empty_manifest(folder: Path) -> None:
    (folder / integrity.MANIFEST).write_text("{}")


DAMAGES = [truncated, zero_filled, flipped, changed_facts, missing, unsealed, half_manifest, empty_manifest]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_taken(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (3, 6):
        checkpoint.save(tmp_path, step, STATES, {"seconds": 1.0})
    assert checkpoint.newest(tmp_path) == 6
    damage(checkpoint.path_of(tmp_path, 6))
    with caplog.at_level(logging.WARNING):
        assert checkpoint.newest(tmp_path) == 3
    (message,) = caplog.messages
    assert "The checkpoint of step 6 is skipped: " in message
    assert str(checkpoint.path_of(tmp_path, 6)) in message


def test_where_no_checkpoint_is_whole_nothing_is_taken(tmp_path: Path) -> None:
    for step, damage in ((3, truncated), (6, unsealed)):
        checkpoint.save(tmp_path, step, STATES, {})
        damage(checkpoint.path_of(tmp_path, step))
    with pytest.raises(TrainingError, match=r"all checkpoints are corrupt.*manifest.json.*nets.safetensors.*Copy"):
        checkpoint.newest(tmp_path)


def test_a_run_goes_on_before_the_damage_and_ends_as_ever(small: dict[str, Any], tmp_path: Path) -> None:
    run(small, tmp_path / "whole").train()
    run(small, tmp_path / "damaged").train()
    flipped(checkpoint.path_of(tmp_path / "damaged", 6))
    half = storage.begin_folder(checkpoint.path_of(tmp_path / "damaged", 5))  # a save that was killed
    run(small, tmp_path / "damaged", resume=True).train()
    assert_same_end(tmp_path / "whole", tmp_path / "damaged")
    assert not half.exists()
    assert (tmp_path / "damaged" / "checkpoints" / "damaged-step-00000006").is_dir()


def test_a_save_and_a_deletion_that_break_off_leave_nothing_under_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path, 3, STATES, {})
    monkeypatch.setattr(storage, "discard", lambda *a, **o: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        storage.remove_folder(checkpoint.path_of(tmp_path, 3))
    monkeypatch.undo()
    assert checkpoint.steps_in(tmp_path) == []
    storage.sweep(tmp_path / checkpoint.FOLDER)
    assert not list((tmp_path / checkpoint.FOLDER).iterdir())


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file, then its folder, then the name, then the folder that holds the name."""
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        sync(descriptor)

    def renamed(old: Path, new: Path) -> None:
        done.append(f"rename to {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(storage.os, "fsync", synced)
    monkeypatch.setattr(storage.os, "replace", renamed)
    checkpoint.save(tmp_path, 3, STATES, {})
    place = done.index("rename to step-00000003")
    files = ("nets.safetensors", "optimizer-student.safetensors", "state.json", "manifest.json")
    assert all(file in done[:place] for file in files)
    assert done[place - 1].startswith(".step-00000003")
    assert done[place + 1] == "checkpoints"


# -- a disk that is full ---------------------------------------------------------------------------------------------


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond `size` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_with_one_sentence_and_the_last_good_checkpoint(small: dict[str, Any], tmp_path: Path) -> None:
    run(small, tmp_path / "whole").train()
    training = run(small, tmp_path / "full")
    one_step = training._one_step

    def filling(batch: Any) -> None:
        one_step(batch)
        if training.step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    training._one_step = filling  # type: ignore[method-assign]
    with no_file_above(resource.RLIM_INFINITY), pytest.raises(TrainingError) as caught:
        training.train()
    assert "File too large" in str(caught.value)
    assert "raise the limit, then resume from the checkpoint of step 3 with --resume." in str(caught.value)
    assert checkpoint.newest(tmp_path / "full") == 3
    assert not list((tmp_path / "full" / "checkpoints").glob(".*"))
    run(small, tmp_path / "full", resume=True).train()
    assert_same_end(tmp_path / "whole", tmp_path / "full")


def test_a_small_file_system_that_runs_full_does_so_too(small: dict[str, Any], tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    small["train"].update(checkpoint_every=1, keep_last=100)
    try:
        with pytest.raises(TrainingError, match=r"No space left on device.*resume from the checkpoint of step \d with"):
            run(small, tmp_path / "run").train()
        assert checkpoint.newest(tmp_path / "run") >= 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# -- the log ---------------------------------------------------------------------------------------------------------


def test_a_log_line_has_the_steps_before_the_checkpoint_too(small: dict[str, Any], tmp_path: Path) -> None:
    """Lines of 5 steps, checkpoints after 3: the first line of a resumed run is a mean over steps of two processes."""
    small["train"].update(steps=10, log_every=5, checkpoint_every=3)
    run(small, tmp_path / "whole").train()
    run(small, tmp_path / "parts").train()
    remove_checkpoints_after(tmp_path / "parts", 9)
    run(small, tmp_path / "parts", resume=True).train()
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert [entry["step"] for entry in metrics_log.read(tmp_path / "parts")] == [5, 10]


def test_options_that_the_run_s_version_lacked_may_have_their_defaults_only(
    small: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small["train"].update(steps=4, log_every=1, checkpoint_every=2)
    run(small, tmp_path / "whole").train()
    run(small, tmp_path / "parts").train()
    remove_checkpoints_after(tmp_path / "parts", 2)
    file = tmp_path / "parts" / "config.yaml"
    old = yaml_files.read(file)
    del old["train"]["init"], old["optimizer"]["weight_decay"]
    storage.write_text(file, yaml_files.dump(old))
    other = {**small, "optimizer": {"weight_decay": 0.125}}
    with pytest.raises(TrainingError, match=r"optimizer.weight_decay was '\(absent\)' and is now 0.125"):
        run(other, tmp_path / "parts", resume=True)
    run(small, tmp_path / "parts", resume=True).train()
    (warning,) = [r.message for r in caplog.records if "started without" in r.message]
    assert "train.init: None" in warning
    assert "optimizer.weight_decay: " in warning
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def remove_checkpoints_after(folder: Path, step: int) -> None:
    for later in checkpoint.steps_in(folder):
        if later > step:
            storage.remove_folder(checkpoint.path_of(folder, later))


def test_the_numbers_of_torch_itself_are_those_of_the_step(small: dict[str, Any], tmp_path: Path) -> None:
    """A dropout in a backbone draws from torch's own generator: a resumed run must find it where it was."""

    def dropping(folder: Path, **options: Any) -> None:
        training = run(small, folder, **options)
        training.stage.nets["student"].register_forward_hook(
            lambda net, given, out: out._replace(value=out.value.map(lambda x: torch.dropout(x, 0.5, True)))
        )
        training.train()

    dropping(tmp_path / "whole")
    dropping(tmp_path / "parts")
    remove_checkpoints_after(tmp_path / "parts", 3)
    torch.rand(7)
    dropping(tmp_path / "parts", resume=True)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


# -- which checkpoints stay ------------------------------------------------------------------------------------------


def test_the_newest_stay_and_every_nth(small: dict[str, Any], tmp_path: Path) -> None:
    small["train"].update(steps=10, checkpoint_every=1, keep_last=2, keep_every=4)
    run(small, tmp_path).train()
    assert checkpoint.steps_in(tmp_path) == [4, 8, 9, 10]


# -- two at once -----------------------------------------------------------------------------------------------------


def test_a_second_run_is_told_who_is_at_work(tmp_path: Path) -> None:
    me = rf"\(process {os.getpid()} on .*, since 20\d\d-.*wait for"
    with run_lock(tmp_path), pytest.raises(TrainingError, match=me), run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass


def test_a_run_that_another_overtook_while_it_was_set_up_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    slow = run(small, tmp_path)
    run(small, tmp_path).train()
    before = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(TrainingError, match="Another run used .* while this one was starting"):
        slow.train()
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_a_killed_run_frees_its_folder_though_its_readers_still_live(tmp_path: Path) -> None:
    """Processes that read data are forks, which inherit open files: the lock must not live on in them."""
    child = os.fork()
    if not child:
        lock = FileLock(tmp_path / ".lock")
        lock.acquire(timeout=0)
        reader = os.fork()
        if reader:
            (tmp_path / "reader").write_text(str(reader))
        time.sleep(60)
        os._exit(0)
    while not (tmp_path / "reader").exists() or not (tmp_path / "reader").read_text():
        time.sleep(0.01)
    try:
        with pytest.raises(TrainingError, match="Another process .*is training in "), run_lock(tmp_path):
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with run_lock(tmp_path):
            pass
    finally:
        os.kill(int((tmp_path / "reader").read_text()), signal.SIGKILL)


# -- the manifest ----------------------------------------------------------------------------------------------------


def test_the_manifest_has_the_hashes_that_sha256sum_finds(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 3, STATES, {})
    folder = checkpoint.path_of(tmp_path, 3)
    listed = json.loads((folder / integrity.MANIFEST).read_text())
    assert sorted(listed) == ["nets.safetensors", "optimizer-student.safetensors", "state.json"]
    ended = subprocess.run(["sha256sum", *sorted(listed)], cwd=folder, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in ended.stdout.splitlines()] == [
        listed[name]["sha256"] for name in sorted(listed)
    ]
    with pytest.raises(DataError, match="the file does not exist"):
        integrity.verify(tmp_path)
