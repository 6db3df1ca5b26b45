"""The lines of an audit: what is compared, its two values, a verdict, and the rule by which it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from nanogen_core.config_diff import Difference

EQUAL, DIFFERS, EXPECTED, UNKNOWN = "equal", "differs", "expected", "unknown"

Series = Sequence[tuple[int, float]]  # (step, value)


@frozen(kw_only=True)
class Line:
    """One comparison. `expected`: it differs as the two tasks do; `unknown`: one of the runs did not log it."""

    group: str  # "configuration" or "logs"
    name: str
    first: Any
    second: Any
    verdict: str
    rule: str


@frozen(kw_only=True)
class Audit:
    """All lines, the configuration lines that differ, and the curves of what was logged, for plots."""

    first: str  # the folders
    second: str
    tasks: tuple[str, str]
    lines: tuple[Line, ...]
    configuration: tuple[Difference, ...]
    curves: Mapping[str, tuple[Series, Series]]

    @property
    def equal(self) -> bool:
        """Whether no line differs in a way that the task does not explain."""
        return all(line.verdict != DIFFERS for line in self.lines)

    @property
    def verdict(self) -> str:
        """A sentence."""
        wrong = [line.name for line in self.lines if line.verdict == DIFFERS]
        unknown = [line.name for line in self.lines if line.verdict == UNKNOWN]
        if wrong:
            return f"The regimes differ in {len(wrong)} of {len(self.lines)} lines: {', '.join(wrong)}."
        left_out = f"; not logged by both: {', '.join(unknown)}" if unknown else ""
        but = " but for the task" if self.tasks[0] != self.tasks[1] else ""
        return f"The regimes are equal{but} in all {len(self.lines) - len(unknown)} lines{left_out}."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"equal": self.equal, "verdict": self.verdict, **attrs.asdict(self)}
