"""Results of an audit: lines with two values, a verdict and the rule of comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from nanogen_files.config_diff import Difference

EQUAL, DIFFERS, EXPECTED, UNKNOWN = "equal", "differs", "expected", "unknown"

Series = Sequence[tuple[int, float]]  # (step, value)


@frozen(kw_only=True)
class Line:
    """One comparison of two runs.

    Attributes:
        group: `"configuration"` or `"logs"`.
        name: What is compared.
        first: Value of the first run. In the group `"configuration"`: one option, a mapping of options, or
            `"N options"`. In the group `"logs"`: mean of the logged value; None if the run did not log it.
        second: As `first`, for the second run.
        verdict: `"equal"`, `"differs"`, `"expected"` (a difference that the rule allows), or `"unknown"` (too few
            steps that both runs logged).
        rule: Rule that led to the verdict.
    """

    group: str
    name: str
    first: Any
    second: Any
    verdict: str
    rule: str


@frozen(kw_only=True)
class Audit:
    """Comparison of two runs.

    Attributes:
        first: Folder of the first run.
        second: Folder of the second run.
        tasks: Name of the task of each run.
        lines: All comparisons.
        configuration: Options in which the configurations differ.
        curves: Name of a logged value -> (step, value) pairs of each run, thinned for plots.
    """

    first: str
    second: str
    tasks: tuple[str, str]
    lines: tuple[Line, ...]
    configuration: tuple[Difference, ...]
    curves: Mapping[str, tuple[Series, Series]]

    @property
    def equal(self) -> bool:
        """Whether no line has the verdict `"differs"`."""
        return all(line.verdict != DIFFERS for line in self.lines)

    @property
    def verdict(self) -> str:
        """Summary in one or two sentences."""
        wrong = [line.name for line in self.lines if line.verdict == DIFFERS]
        unknown = [line.name for line in self.lines if line.verdict == UNKNOWN]
        if wrong:
            return f"The trainings differ in {len(wrong)} of {len(self.lines)} lines: {', '.join(wrong)}."
        left_out = f" Too few steps logged by both runs: {', '.join(unknown)}." if unknown else ""
        apart = " apart from the task" if self.tasks[0] != self.tasks[1] else ""
        return f"The trainings are equal{apart} in all {len(self.lines) - len(unknown)} lines.{left_out}"

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON values."""
        return {"equal": self.equal, "verdict": self.verdict, **attrs.asdict(self)}
