"""The long form of the kill test: `torture.py --kills 40 --seed 0`, every kind of training one after the other."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

KILLING = Path(__file__).with_name("killing.py")
KINDS = (
    "--data folders",
    "--data folders --workers 2",
    "--data tars --workers 2",
    "--data folders --processes 2",
    "--data tars --workers 1 --processes 2",
    "--data folders --processes 2 --strategy fsdp",
    "--data folders --workers 1 --command-line",
    "--data tars --workers 1 --processes 2 --command-line",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    failed = [kind for kind in KINDS if not survived(kind, asked.kills, asked.seed)]
    print("\n".join(f"FAILED: {kind}" for kind in failed) or f"{len(KINDS)} kinds of training survived.")
    return bool(failed)


def survived(kind: str, kills: int, seed: int) -> bool:
    print(f"== {kind}", flush=True)
    with TemporaryDirectory() as folder:
        words = [folder, "--kills", str(kills), "--seed", str(seed), *kind.split()]
        return subprocess.run([sys.executable, str(KILLING), *words]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
