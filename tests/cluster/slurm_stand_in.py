"""Stand-in for SLURM's commands: `slurm_stand_in.py COMMAND ARGUMENT ...`. Runs the scripts on this machine.

The folder `SLURM_STAND_IN` holds a folder per job and array task with its state. A job waits for its dependencies,
runs its script, and runs it again if it was requeued meanwhile, as SLURM does.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["SLURM_STAND_IN"])
COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scancel", "scontrol")
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


def install(folder):
    """Writes the commands into a folder for PATH."""
    folder.mkdir(parents=True)
    for name in COMMANDS:
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        (folder / name).chmod(0o755)


def state(job):
    file = HOME / job / "state"
    return file.read_text() if file.exists() else "PENDING"


def set_state(job, value):
    (HOME / job).mkdir(exist_ok=True)
    (HOME / job / "new").write_text(value)
    os.replace(HOME / job / "new", HOME / job / "state")


def options(script):
    lines = [line[len("#SBATCH --") :] for line in Path(script).read_text().splitlines() if line.startswith("#SBATCH")]
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def sbatch(script):
    number = str(1000 + len(list(HOME.glob("script-*"))))
    (HOME / f"script-{number}").write_text(Path(script).read_text())
    given = options(script)
    last = int(given["array"].partition("%")[0].partition("-")[2]) if "array" in given else None
    for job in [number] if last is None else [f"{number}_{index}" for index in range(last + 1)]:
        set_state(job, "PENDING")
        with open(HOME / job / "errors", "w") as errors:
            subprocess.Popen(
                [sys.executable, __file__, "run", job],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
    print(f"Submitted batch job {number}")


def run(job):
    number, _, index = job.partition("_")
    script = HOME / f"script-{number}"
    given = options(script)
    needed = given.get("dependency", "").removeprefix("afterok:").split(":")
    while any(not ended(before, ENDED) for before in filter(None, needed)) and state(job) != "CANCELLED":
        time.sleep(0.05)
    if not all(ended(before, ("COMPLETED",)) for before in filter(None, needed)):
        set_state(job, "CANCELLED")  # --kill-on-invalid-dep
    array = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index} if index else {}
    environment = {**os.environ, "SLURM_JOB_ID": number, "SLURM_NTASKS": "1", **array, "STAND_IN_JOB": job}
    while state(job) != "CANCELLED":
        set_state(job, "RUNNING")
        with (HOME / job / "runs").open("a") as runs:
            runs.write("run\n")
        status = subprocess.run(["bash", str(script)], env=environment, check=False).returncode
        if (HOME / job / "requeue").exists():
            (HOME / job / "requeue").unlink()
            set_state(job, "PENDING")
        elif state(job) != "CANCELLED":
            set_state(job, "FAILED" if status else "COMPLETED")
            return


def ended(number, states):
    """Whether a job, or all tasks of an array, are in one of these states."""
    tasks = [path.name for path in HOME.glob(f"{number}_*")] or [number]
    return all(state(task) in states for task in tasks)


def srun(*words):
    words, output = list(words), None
    while words[0].startswith("--"):
        option = words.pop(0)
        if option == "--output":
            output = words.pop(0)
    job = os.environ["STAND_IN_JOB"]
    number, _, index = job.partition("_")
    for pattern, value in {"%j": number, "%A": number, "%a": index, "%t": "0"}.items():
        output = output.replace(pattern, value)
    (HOME / job / "pid").write_text(str(os.getpid()))
    with open(output, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ["SLURM_PROCID"] = "0"
    os.execvp(words[0], words)


def scancel(job, option="", name=""):
    if option == "--signal":
        os.kill(int((HOME / job / "pid").read_text()), getattr(signal, f"SIG{name.removeprefix('SIG')}"))
        return
    set_state(job, "CANCELLED")
    if (HOME / job / "pid").exists():
        os.kill(int((HOME / job / "pid").read_text()), signal.SIGTERM)


def scontrol(verb, job):
    assert verb == "requeue"
    (HOME / job / "requeue").touch()


def sacct(*words):
    print("JobID|State|NodeList")
    for path in sorted(HOME.iterdir()):
        if path.is_dir() and path.name.partition("_")[0] in words:
            print(f"{path.name}|{state(path.name)}|here")


def squeue(*words):
    sacct(*(path.name.partition("_")[0] for path in HOME.iterdir()))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
