"""Spawned workers run no stray module of the current folder, on Python 3.10 too, which knows no PYTHONSAFEPATH."""

import os
import shutil
import subprocess
import sys

import pytest

from nanogen_data import spawning
from nanogen_data.precomputed import workers

STRAYS = ("multiprocessing", "pickle", "socket", "threading", "tempfile", "signal", "runpy", "selectors", "filelock")
PROGRAM = """
import importlib.util, sys
from multiprocessing import get_context
from contextlib import nullcontext

spec = importlib.util.spec_from_file_location("spawning", {file!r})
spawning = importlib.util.module_from_spec(spec)
spec.loader.exec_module(spawning)

if __name__ == "__main__":
    spawn = get_context("spawn")
    with (spawning.without_current_folder() if sys.argv[1] == "safe" else nullcontext()):
        lock = spawn.Lock()  # starts the resource tracker
        process = spawn.Process(target=print, args=("the worker ran",))
        process.start()
    process.join(60)
"""
VERSIONS = [sys.executable, "python3.10"]


def interpreter(name):
    found = shutil.which(name)
    works = found and subprocess.run([found, "-c", "import ctypes"], capture_output=True, check=False).returncode == 0
    return found if works else None


@pytest.mark.parametrize("python", VERSIONS, ids=["this", "3.10"])
@pytest.mark.parametrize("how", ["safe", "as it is"])
def test_a_stray_module_in_the_current_folder_is_not_run_by_a_worker(tmp_path, python, how):
    if interpreter(python) is None:
        pytest.skip(f"{python} is not installed")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "program.py").write_text(PROGRAM.format(file=spawning.__file__))
    current, mark = tmp_path / "current", tmp_path / "ran"
    current.mkdir()
    for name in STRAYS:
        (current / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write(__name__ + ' ')\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [interpreter(python), str(tmp_path / "home" / "program.py"), how]
    ran = subprocess.run(command, cwd=current, env=environment, capture_output=True, text=True, check=False)
    if how == "safe":
        assert ran.stdout == "the worker ran\n", ran.stderr
    assert mark.exists() == (how != "safe")  # without it the stray modules run, or this test could not fail


def test_workers_are_started_that_way(monkeypatch):
    commands = []
    monkeypatch.setattr(spawning.util, "spawnv_passfds", lambda path, args, fds: commands.append(args) or 2**22)
    monkeypatch.setattr(os, "waitpid", lambda pid, options: (pid, 0))
    process, _ = workers._start([0], print, {})
    process.join()
    assert commands
    for command in commands:
        assert command[command.index("-c") + 1].startswith("import sys; sys.path[:] = ")


def test_other_commands_stay_as_they_are():
    assert spawning.safe_command(["python", "x.py"]) == ["python", "x.py"]
