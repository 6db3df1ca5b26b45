"""Checks evaluation cases: `python -m tests.evaluation_cases FILE` prints one line per case and a total."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from nanogen_core.errors import DataError, NanoGenError
from tests.evaluation_cases.compare import difference
from tests.evaluation_cases.files import Case, read_cases, resolved
from tests.evaluation_cases.runners import Runners, installed


def mistake(case: Case, runners: Runners, known: Mapping[str, Case]) -> str | None:
    """Run a case.

    Args:
        case: The case.
        runners: The functions that compute outputs.
        known: Cases by id, which the case may refer to.

    Returns:
        How the output differs from the expected one, or None if it is within the tolerance.
    """
    try:
        given = resolved(case.input, known)
        return difference(case.expected, runners.find(case.metric, given)(given), case.tol)
    except Exception as error:  # report it, and go on with the other cases
        return f"{type(error).__name__}: {error}"


def by_id(cases: Iterable[Case]) -> dict[str, Case]:
    """Cases by id."""
    return {case.id: case for case in cases}


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns 0 if every case holds, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.evaluation_cases", description=__doc__)
    parser.add_argument("file", type=Path, help="a JSON file of cases")
    parser.add_argument("--known", type=Path, help="another file of cases, which cases may refer to by id")
    parser.add_argument("--metric", action="append", help="only cases of this metric; may be given several times")
    chosen = parser.parse_args(arguments)
    try:
        cases = read_cases(chosen.file)
        known = {**by_id(read_cases(chosen.known) if chosen.known else []), **by_id(cases)}
        return _report([case for case in cases if not chosen.metric or case.metric in chosen.metric], known)
    except NanoGenError as error:
        print(error, file=sys.stderr)
        return 1


def _report(cases: list[Case], known: Mapping[str, Case]) -> int:
    if not cases:
        raise DataError("The file has no cases of the chosen metrics. Name other metrics, or leave --metric out.")
    runners, wrong = installed(), 0
    for case in cases:
        line = mistake(case, runners, known)
        wrong += line is not None
        print(f"{'holds' if line is None else 'WRONG'}  {case.id} ({case.metric}){'' if line is None else ': ' + line}")
    print(f"{len(cases) - wrong} of {len(cases)} cases hold.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
