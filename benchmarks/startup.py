"""How long `nanogen --help` and the scan of plugins take, beside `python -c "import click"`: medians in seconds.

Run it as `python benchmarks/startup.py`; whole processes in turn, so that a drifting machine bears on both alike.
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
from nanogen_core import plugins, registry  # what every verb that scans has imported
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
    """Seconds of each command and of the scan."""
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
