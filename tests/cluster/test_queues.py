"""Commands as jobs of this machine and of SLURM: logs, stopping, requeuing, dependencies, records."""

import pytest

from nanogen_cluster.command import Command
from nanogen_cluster.options import job_options
from nanogen_cluster.queues import RECORD, LocalQueue, SlurmQueue
from nanogen_cluster.resources import Resources, sbatch_options
from nanogen_core.errors import ConfigError, NanoGenError
from tests.cluster.slurm import Slurm, python, shell, until

#: Counts its starts in `starts`, then waits for SIGTERM, saves `saved` and ends; a start that finds `saved` succeeds.
TRAINING = """
import os, signal, sys, time
open("starts", "a").write("x")
if os.path.exists("saved"):
    print("resumed"); sys.exit(0)
def save(*args):
    open("saved", "w").close(); sys.exit(130)
signal.signal(signal.SIGTERM, save)
open("ready", "w").close()
time.sleep(120)
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return Slurm(tmp_path, monkeypatch)


@pytest.fixture
def queue():
    slurm = sbatch_options(["mem=64G", "exclusive", "cpus-per-task=8"])
    return SlurmQueue(Resources(hours=2, partition="gpu", gpus=4, slurm=slurm))


def log(submission):
    return submission.job.paths.stdout.read_text()


# -- this machine ------------------------------------------------------------------------------------------------------


def test_a_local_job_runs_in_its_folder_with_its_environment_and_log(tmp_path, monkeypatch):
    monkeypatch.setenv("GONE", "1")
    queue = LocalQueue()
    command = Command(shell("pwd; echo $GIVEN-$GONE"), cwd=tmp_path, environment={"GIVEN": "yes", "GONE": None})
    submission = queue.submit(command, tmp_path / "logs", title="a")
    until(lambda: submission.done)
    assert f"{tmp_path}\nyes-\n" in log(submission)
    assert submission.job.exception() is None


def test_a_local_job_that_fails_has_ended(tmp_path):
    submission = LocalQueue().submit(Command(shell("exit 3"), cwd=tmp_path), tmp_path / "logs", title="a")
    until(lambda: submission.done)
    assert "ended with status 3" in str(submission.job.exception())


def test_closing_the_queue_lets_every_job_save_first(tmp_path):
    queue = LocalQueue()
    submission = queue.submit(Command(python(TRAINING), cwd=tmp_path), tmp_path / "logs", title="a")
    until((tmp_path / "ready").exists)
    queue.close()
    assert (tmp_path / "saved").exists()
    assert submission.done
    assert not submission.job.paths.result_pickle.exists()  # it was stopped: it has not failed


def test_a_local_job_cannot_wait_for_another(tmp_path):
    queue = LocalQueue()
    first = queue.submit(Command(shell("true"), cwd=tmp_path), tmp_path / "first", title="a")
    with pytest.raises(ValueError, match="A local queue cannot wait for other jobs. Submit the job when"):
        queue.submit(Command(shell("true"), cwd=tmp_path), tmp_path / "second", title="b", after=[first])
    queue.close()
    assert not (tmp_path / "second").exists()


# -- SLURM -------------------------------------------------------------------------------------------------------------


def test_the_script_of_a_job(tmp_path, slurm, queue):
    submission = queue.submit(Command(shell("echo hello"), cwd=tmp_path), tmp_path / "logs", title="my job")
    lines = slurm.scripts[submission.job.job_id].splitlines()
    wanted = ["time=120", "partition=gpu", "gpus-per-node=4", "mem=64G", "job-name=my-job", "signal=USR2@90"]
    assert {f"#SBATCH --{option}" for option in (*wanted, "exclusive", "requeue", "cpus-per-task=8")} <= set(lines)
    assert any(line.startswith("srun ") and " --cpus-per-task=8 " in line for line in lines)
    slurm.wait(submission.job.job_id, "COMPLETED")
    assert "hello\n" in log(submission)
    assert submission.done
    script = queue.script(tmp_path / "logs", title="my job")  # without SLURM it is the same
    assert script.splitlines() == lines


def test_a_preempted_job_saves_and_goes_on(tmp_path, slurm, queue):
    submission = queue.submit(Command(python(TRAINING), cwd=tmp_path), tmp_path / "logs", title="a")
    until((tmp_path / "ready").exists)
    slurm.cancel(submission.job.job_id, "--signal", "USR2")
    slurm.wait(submission.job.job_id, "COMPLETED")
    assert (tmp_path / "starts").read_text() == "xx"
    assert "resumed" in log(submission)
    assert submission.job.exception() is None


def test_a_cancelled_job_saves_and_has_no_result(tmp_path, slurm, queue, monkeypatch):
    submission = queue.submit(Command(python(TRAINING), cwd=tmp_path), tmp_path / "logs", title="a")
    until((tmp_path / "ready").exists)
    slurm.cancel(submission.job.job_id)
    until((tmp_path / "saved").exists)
    assert submission.job.done(force_check=True)
    assert not submission.job.paths.result_pickle.exists()


def test_a_job_runs_after_those_that_it_needs_and_not_if_they_fail(tmp_path, slurm, queue):
    first = queue.submit(Command(shell("sleep 0.5; touch made"), cwd=tmp_path), tmp_path / "1", title="first")
    second = queue.submit(Command(shell("test -e made"), cwd=tmp_path), tmp_path / "2", title="second", after=[first])
    failing = queue.submit(Command(shell("exit 1"), cwd=tmp_path), tmp_path / "3", title="fails")
    never = queue.submit(Command(shell("touch wrong"), cwd=tmp_path), tmp_path / "4", title="never", after=[failing])
    slurm.wait(second.job.job_id, "COMPLETED")
    slurm.wait(failing.job.job_id, "FAILED")
    slurm.wait(never.job.job_id, "CANCELLED")
    assert f"#SBATCH --dependency=afterok:{first.job.job_id}" in slurm.scripts[second.job.job_id]
    assert "#SBATCH --kill-on-invalid-dep=yes" in slurm.scripts[second.job.job_id]
    assert not (tmp_path / "wrong").exists()


def test_a_submitted_job_is_found_again_until_it_is_forgotten(tmp_path, slurm, queue):
    submission = queue.submit(Command(shell("true"), cwd=tmp_path), tmp_path / "logs", title="a", attempt=2)
    found = queue.submitted(tmp_path / "logs")
    assert (found.job.job_id, found.attempt) == (submission.job.job_id, 2)
    with pytest.raises(NanoGenError, match=f"was submitted to SLURM as job {found.job.job_id}: use --executor slurm"):
        LocalQueue().submitted(tmp_path / "logs")
    slurm.wait(found.job.job_id, "COMPLETED")
    queue.forget(tmp_path / "logs")
    assert queue.submitted(tmp_path / "logs") is None


def test_a_damaged_record_is_named(tmp_path, queue):
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(NanoGenError, match=r"job\.json is damaged: look up the job"):
        queue.submitted(tmp_path)


def test_a_machine_without_slurm_is_a_sentence(tmp_path, monkeypatch, queue):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NanoGenError, match="`sbatch` was not found"):
        queue.submit(Command(shell("true"), cwd=tmp_path), tmp_path / "logs", title="a")


def test_a_refused_job_is_a_sentence(tmp_path, slurm, queue):
    file = tmp_path / "bin" / "sbatch"
    file.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpu' >&2; exit 1\n")
    with pytest.raises(NanoGenError, match="SLURM refuses the job: .*invalid partition specified: gpu"):
        queue.submit(Command(shell("true"), cwd=tmp_path), tmp_path / "logs", title="a")


# -- options -----------------------------------------------------------------------------------------------------------


def test_options_of_sbatch():
    assert sbatch_options(["mem=64G", "gres=lscratch:100", "--gpu-bind=single:1", "exclusive"]) == {
        "mem": "64G",
        "gres": "lscratch:100",
        "gpu_bind": "single:1",
        "exclusive": True,
    }


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("time=1:00", "--slurm time=1:00 is not possible: use --hours"),
        ("gpus-per-node=2", "use --gpus-per-job"),
        ("gres=gpu:a100:8", "use --gpus-per-job"),
        ("gpus=8", "use --gpus-per-job"),
        ("output=x", "the command sets it"),
        ("=5", "write KEY=VALUE"),
    ],
)
def test_a_wrong_option_of_sbatch_is_a_sentence(word, sentence):
    with pytest.raises(ConfigError, match=sentence):
        sbatch_options([word])


def test_options_of_slurm_alone_are_refused_for_local_jobs():
    import click
    from click.testing import CliRunner

    seen = []

    @click.command()
    @job_options(local_gpus=False)
    def command(**values):
        """Help."""
        seen.append(values)

    ran = CliRunner().invoke(command, ["--gpus-per-job", "8", "--hours", "2", "--no-wait"])
    assert ran.exit_code == 2
    assert "Only --executor slurm uses --gpus-per-job, --hours, --no-wait. Add --executor slurm." in ran.output
    words = ["--executor", "slurm", "--hours", "2", "--slurm", "mem=1G", "--gpus-per-job", "8", "--no-wait"]
    assert CliRunner().invoke(command, words).exit_code == 0
    resources = Resources(gpus=8, hours=2, slurm={"mem": "1G"})
    assert seen == [{"executor": "slurm", "resources": resources, "wait": False}]
