"""The result of the checks of a plugin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from attrs import asdict, frozen

State = Literal["passed", "failed", "left out"]
PASSED: State = "passed"
FAILED: State = "failed"
LEFT_OUT: State = "left out"


@frozen
class Check:
    """One check.

    Args:
        group: What is checked: "discovery", "contracts", "types", "training", or a manifest, component or method,
            such as "objective my-objective".
        name: Name of the check in its group, such as "mypy --strict".
        state: "passed", "failed" or "left out".
        reason: Why the check failed or was left out. Empty if it passed.
    """

    group: str
    name: str
    state: State = "passed"
    reason: str = ""


@frozen
class Report:
    """Results of the checks of one distribution."""

    distribution: str
    version: str
    checks: Sequence[Check]

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.state == FAILED]

    def summary(self) -> str:
        """Return one line with the number of checks in each state."""
        counts = Counter(check.state for check in self.checks)
        return f"{len(self.checks)} checks: " + ", ".join(f"{counts[s]} {s}" for s in (PASSED, FAILED, LEFT_OUT))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        counts = Counter(check.state for check in self.checks)
        return {
            "distribution": self.distribution,
            "version": self.version,
            "passed": counts[PASSED],
            "failed": counts[FAILED],
            "left_out": counts[LEFT_OUT],
            "checks": [asdict(check) for check in self.checks],
        }
