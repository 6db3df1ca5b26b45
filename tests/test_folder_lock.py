"""One process at a time in a folder, and errors while writing."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from nanogen_files.folder_lock import LOCK, LOCK_FILES, folder_lock, holder_of
from nanogen_files.write_errors import translate_write_errors

HOLD = (
    "import sys, time; from pathlib import Path; from nanogen_files.folder_lock import folder_lock\n"
    "with folder_lock(Path(sys.argv[1]), ValueError):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


def busy(holder):
    return ValueError(f"taken{holder}")


@pytest.fixture
def held(tmp_path):
    """A lock file in a folder that did not exist, and the process that holds it."""
    lock = tmp_path / "new" / LOCK
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield lock, process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_with_the_holder(held):
    lock, process = held
    with (
        pytest.raises(ValueError, match=rf"^taken \(process {process.pid} on host \S+, since 20"),
        folder_lock(lock, busy),
    ):
        pass
    assert holder_of(lock).startswith(f"process {process.pid} on host ")


def test_a_killed_process_frees_the_lock_and_its_description_is_replaced(held):
    lock, process = held
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holder_of(lock) is None
    with folder_lock(lock, busy):
        assert holder_of(lock).startswith(f"process {os.getpid()} on host ")


def test_a_waiting_process_gets_the_lock_when_it_is_released(held):
    lock, process = held
    os.kill(process.pid, signal.SIGKILL)
    with folder_lock(lock, busy, timeout=60):
        pass


def test_only_the_lock_file_stays(tmp_path):
    with folder_lock(tmp_path / LOCK, busy):
        assert {file.name for file in tmp_path.iterdir()} == set(LOCK_FILES)
    assert [file.name for file in tmp_path.iterdir()] == [LOCK]
    assert holder_of(tmp_path / LOCK) is None


def test_no_lock_file_is_created_by_looking(tmp_path):
    assert holder_of(tmp_path / LOCK) is None
    assert not list(tmp_path.iterdir())


def test_the_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(KeyError), folder_lock(tmp_path / LOCK, busy):
        raise KeyError
    with folder_lock(tmp_path / LOCK, busy, timeout=0):
        pass


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_translated(code):
    with pytest.raises(ValueError, match=f"^{os.strerror(code)}$"), translate_write_errors(ValueError):
        raise OSError(code, os.strerror(code))


def test_other_errors_are_translated_only_if_all_are(tmp_path):
    with pytest.raises(PermissionError), translate_write_errors(ValueError):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with pytest.raises(ValueError, match="Permission denied"), translate_write_errors(ValueError, codes=None):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
