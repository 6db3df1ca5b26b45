"""`python -m tests.parity FOLDER...`: one line per case. Exit status 1 if a relative error exceeds 1e-4."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from nanogen_core.errors import NanoGenError
from tests.parity import LIMIT, Report, cases_in, check_case

VARIABLE = "NANOGEN_PARITY_FIXTURES"


def main(arguments: list[str]) -> int:
    """Check the folder in `NANOGEN_PARITY_FIXTURES`, or else those of the arguments. Return the exit status."""
    torch.set_num_threads(1)  # the networks are too small to gain from threads
    named = os.environ.get(VARIABLE)
    folders = [named] if named else arguments
    if not folders:
        print(f"There is no folder of parity cases. Give one as an argument or in {VARIABLE}.", file=sys.stderr)
        return 1
    try:
        paths = [path for folder in folders for path in cases_in(folder)]
    except NanoGenError as error:
        print(error, file=sys.stderr)
        return 1
    held = [_holds(path) for path in paths]
    return 0 if all(held) else 1


def _holds(path: Path) -> bool:
    """Print the line of one case. Return whether it holds."""
    try:
        report = check_case(path)
    except NanoGenError as error:
        print(f"{path.stem:<24} FAILS: {error}")
        return False
    print(line(report))
    return report.holds


def line(report: Report) -> str:
    """Return the report of a case as text: all relative errors, and outputs that are not computed or not recorded."""
    verdict = "holds" if report.holds else f"FAILS (limit {LIMIT:.0e})"
    errors = "  ".join(f"{name} {error:.1e}" for name, error in report.errors.items())
    waiting = f"  waiting for its plugin: {', '.join(report.waiting)}" if report.waiting else ""
    missing = f"  NOT COMPUTED: {', '.join(report.missing)}" if report.missing else ""
    lacking = f"  NOT RECORDED: {', '.join(report.lacking)}" if report.lacking else ""
    return f"{report.case:<24} {report.largest:.2e} {verdict}\n    {errors}{waiting}{missing}{lacking}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
