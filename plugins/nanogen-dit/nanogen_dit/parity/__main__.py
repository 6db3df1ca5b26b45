"""`python -m nanogen_dit.parity FOLDER`: a line for each case; exit status 1 where one is off by more than 1e-4."""

from __future__ import annotations

import os
import sys

import torch

from nanogen_core.errors import NanoGenError
from nanogen_dit.parity import LIMIT, Report, cases_in, check_case

VARIABLE = "NANOGEN_PARITY_FIXTURES"


def main(arguments: list[str]) -> int:
    """Checks the folder that `NANOGEN_PARITY_FIXTURES` names, else the one of the arguments; the exit status."""
    torch.set_num_threads(1)  # the networks are so small that threads would only wait for each other
    folder = os.environ.get(VARIABLE) or next(iter(arguments), "")
    try:
        reports = [check_case(path) for path in cases_in(folder)]
    except NanoGenError as error:
        print(error, file=sys.stderr)
        return 1
    for report in reports:
        print(line(report))
    return 0 if all(report.holds for report in reports) else 1


def line(report: Report) -> str:
    """The case, its largest relative error, each error, and what waits for the plugin of its method."""
    verdict = "holds" if report.holds else f"FAILS (limit {LIMIT:.0e})"
    errors = "  ".join(f"{name} {error:.1e}" for name, error in report.errors.items())
    waiting = f"  waiting for its plugin: {', '.join(report.waiting)}" if report.waiting else ""
    return f"{report.case:<24} {report.largest:.2e} {verdict}\n    {errors}{waiting}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
