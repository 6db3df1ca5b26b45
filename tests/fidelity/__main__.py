"""`python -m tests.fidelity [FOLDER]`: one line for each fixture. Exit status 1 if one fails or is unknown."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from nanogen_core.errors import NanoGenError
from tests.fidelity.kinds import fixtures_in, is_training_curve, measure_of, notes_of, unknown

VARIABLE = "NANOGEN_FIDELITY_FIXTURES"
FIXTURES = Path(__file__).parent / "fixtures"


def main(arguments: list[str]) -> int:
    """Measure the fixtures of the folder in the argument or `NANOGEN_FIDELITY_FIXTURES`. Return the exit status."""
    torch.set_num_threads(1)  # the networks are too small to gain from threads
    folder = Path(next(iter(arguments), "") or os.environ.get(VARIABLE) or FIXTURES)
    fixtures = fixtures_in(folder)
    if not fixtures:
        print(f"There is no fixture (NAME.json) in {folder}. Set {VARIABLE} to a folder of fixtures.", file=sys.stderr)
        return 1
    results = [_report(path, path.relative_to(folder)) for path in fixtures]
    return 0 if all(results) else 1


def _report(path: Path, name: Path) -> bool:
    """Print the line of one fixture. Return whether it holds."""
    if is_training_curve(path):
        print(f"{name!s:<40} a training curve: `make equivalence` runs it")
        return True
    measure = measure_of(path)
    if measure is None:
        print(f"{name!s:<40} UNKNOWN KIND: {unknown(path)}")
        return False
    try:
        measurements = list(measure(path))
    except NanoGenError as error:
        print(f"{name!s:<40} FAILS: {_one_line(error)}")
        return False
    except Exception as error:
        print(f"{name!s:<40} FAILS: it cannot be computed from this file ({type(error).__name__}: {_one_line(error)})")
        return False
    if not measurements:
        print(f"{name!s:<40} FAILS: nothing was compared")
        return False
    worst = max(measurements, key=lambda measurement: measurement.relative)
    missed = [measurement for measurement in measurements if not measurement.holds]
    verdict = f"MISSES {len(missed)} of {len(measurements)}" if missed else f"holds ({len(measurements)} compared)"
    print(f"{name!s:<40} {worst.error:.2e} of {worst.tolerance:.0e} ({worst.name})  {verdict}")
    for measurement in missed[:5]:
        print(f"    {measurement.name}: {measurement.error:.3e}, tolerance {measurement.tolerance:.0e}")
    for note in notes_of(path):
        print(f"    {note}")
    return not missed


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
