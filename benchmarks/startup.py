"""Start-up time of `nanogen --help` and of the plugin scan, compared with `python -c "import click"`.

Run `python benchmarks/startup.py`. Prints medians in seconds. Processes run in turn, so that changes of machine load
affect all of them.
"""

import json
import statistics
import subprocess
import sys
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


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def scan() -> float:
    done = subprocess.run([sys.executable, "-c", SCAN], check=True, capture_output=True, text=True)
    return float(done.stdout)


def medians() -> dict[str, float]:
    """Return the median seconds of each command and of the scan."""
    taken: dict[str, list[float]] = {name: [] for name in (*COMMANDS, "scan")}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
        taken["scan"].append(scan())
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    found = medians()
    found["help_more_than_click"] = found["help"] - found["click"]
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
