"""Start-up time of `nanogen --help` and of the plugin scan, compared with `python -c "import click"`.

Run `python benchmarks/startup.py`. Prints medians and minima in seconds. The load of the machine affects the minima
least. Processes run in turn, so that the load affects all of them. Modules are loaded from bytecode, as from
installed wheels.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 15
COMMANDS = {
    "click": [sys.executable, "-c", "import click"],
    "help": [sys.executable, "-m", "nanogen_core", "--help"],
}
SCAN = """
import importlib.metadata, time
from nanogen_core import plugins, registry  # imports of every command that scans plugins
start = time.perf_counter()
plugins.discover()
print(time.perf_counter() - start)
"""


def seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - start


def scan(environment: dict[str, str]) -> float:
    done = subprocess.run([sys.executable, "-c", SCAN], check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def medians() -> dict[str, float]:
    """Return the median seconds of each command and of the scan."""
    return {name: statistics.median(values) for name, values in measured().items()}


def measured() -> dict[str, list[float]]:
    """Return the seconds of each command and of the scan in every round but the first, which writes the bytecode."""
    taken: dict[str, list[float]] = {name: [] for name in (*COMMANDS, "scan")}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for _ in range(ROUNDS + 1):
            for name, command in COMMANDS.items():
                taken[name].append(seconds(command, environment))
            taken["scan"].append(scan(environment))
    return {name: values[1:] for name, values in taken.items()}


def main() -> None:
    taken = measured()
    for reduced in (statistics.median, min):
        found = {name: reduced(values) for name, values in taken.items()}
        found["help_more_than_click"] = found["help"] - found["click"]
        print(reduced.__name__, json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
