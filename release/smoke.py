"""Check of an environment: import every module of every distribution, and train both tasks for two steps.

Runs inside the environment: `python smoke.py torch diffusers`. Prints the versions of these packages at the end.
"""

import importlib
import pkgutil
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import distributions, version

PROGRAMS = ("__main__", "contract_module")  # modules that run the command line, or tests, when imported


def main(names):
    for package in sorted(
        {d.metadata["Name"].replace("-", "_") for d in distributions() if d.metadata["Name"].startswith("nanogen")}
    ):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if found.name.rpartition(".")[2] not in PROGRAMS:
                importlib.import_module(found.name)
    for task in ("imagenet", "t2i"):
        with tempfile.TemporaryDirectory() as folder:
            words = ["-m", "nanogen_core", "train", "demo", "--set", f"task={task}", "--set", "train.steps=2"]
            words += ["--set", "dataset.train=64", "--set", "dataset.val=16", "--output", f"{folder}/run"]
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    print(f"Python {platform.python_version()},", ", ".join(f"{name} {version(name)}" for name in names))


if __name__ == "__main__":
    main(sys.argv[1:])
