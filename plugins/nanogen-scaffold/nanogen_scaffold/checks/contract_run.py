"""Runs contracts, which are classes of tests, with pytest in this process, and records a check for each test."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nanogen_scaffold.checks.report import FAILED, LEFT_OUT, Check
from nanogen_scaffold.checks.tested import Tested

MODULE = Path(__file__).parent / "contract_module.py"
AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
REASON = 600  # characters of a reason
OWN_TESTS = ": it depends on the component, so set it in the tests of the plugin."


def contract_checks(manifests: Sequence[str], tested: Sequence[Tested]) -> list[Check]:
    """Run the contracts of manifests and components. Return a check for each test and each build of a component."""
    recorder = Recorder(manifests, tested)
    _run(recorder)
    return recorder.checks


class Recorder:
    """A pytest plugin that provides the contract classes, and records a check for each test."""

    current: ClassVar[Recorder]

    def __init__(self, manifests: Sequence[str], tested: Sequence[Tested]):
        self.manifests, self.tested = manifests, tested
        self.titles: dict[str, str] = {}
        self.checks: list[Check] = []
        Recorder.current = self

    def classes(self) -> dict[str, type]:
        """Return the contract classes by their names in the test module. Called by `contract_module`."""
        from nanogen_scaffold.checks.contracts import cases

        built, found = cases(self.manifests, self.tested)
        self.checks += built
        self.titles = {f"Test{number}": title for number, title in enumerate(found)}
        return dict(zip(self.titles, found.values(), strict=True))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of a test."""
        if report.when != "call" and report.passed:
            return
        case, test = report.nodeid.split("::")[-2:]
        name = test.removeprefix("test_").replace("_", " ")
        self.checks.append(Check(self.titles[case], name, *_outcome(report)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a failed check if pytest cannot collect the contracts."""
        if report.failed:
            self.checks.append(Check("contracts", "can be collected", FAILED, str(report.longrepr)[-REASON:]))


def _outcome(report: pytest.TestReport) -> tuple[Any, ...]:
    if report.passed:
        return ()
    if report.skipped:
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")  # type: ignore[index]
        return LEFT_OUT, f"{reason[:1].upper()}{reason[1:]}{OWN_TESTS if 'attribute' in reason else '.'}"
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return FAILED, text[:REASON]


def _run(recorder: Recorder) -> None:
    """Run the tests of the contract classes in this process. Reads no configuration and no plugins of the user."""
    for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", None) == str(MODULE)]:
        del sys.modules[name]  # it has the classes of an earlier run
    before = os.environ.get(AUTOLOAD)
    os.environ[AUTOLOAD] = "1"
    try:
        with tempfile.TemporaryDirectory() as folder:
            empty = Path(folder) / "pytest.ini"
            empty.write_text("[pytest]\n", encoding="utf-8")
            options = ["-p", "no:terminal", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", str(empty)]
            pytest.main([*options, f"--rootdir={folder}", str(MODULE)], plugins=[recorder])
    finally:
        os.environ.pop(AUTOLOAD)
        if before is not None:
            os.environ[AUTOLOAD] = before
