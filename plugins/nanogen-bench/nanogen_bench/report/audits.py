"""Section of audits: comparisons of the trainings on both tasks, with rules and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanogen_bench.audit.lines import DIFFERS, EQUAL, EXPECTED, UNKNOWN, Audit, Line
from nanogen_bench.report import tables
from nanogen_bench.report.curves import curves
from nanogen_bench.report.markup import Content, Markup, element, folded
from nanogen_bench.report.tables import Head

SIGNS = {EQUAL: "✓ equal", EXPECTED: "✓ as expected", DIFFERS: "✗ differs", UNKNOWN: "? unknown"}
TONES = {EQUAL: "supported", EXPECTED: "supported", DIFFERS: "contradicted", UNKNOWN: "open"}


def audits(found: Mapping[str, Sequence[Audit]]) -> list[Content]:
    """Build the audits section: one verdict per pair of runs, with its comparisons and curves folded."""
    equal = sum(audit.equal for runs in found.values() for audit in runs)
    count = sum(map(len, found.values()))
    summary = element(
        "p",
        f"In {equal} of {count} pairs of runs, the trainings on both tasks are equal apart from the task. Each"
        " comparison below states its rule.",
    )
    return [summary, [_audit(name, audit) for method, runs in found.items() for name, audit in _named(method, runs)]]


def _named(method: str, runs: Sequence[Audit]) -> list[tuple[str, Audit]]:
    """Return the audits with names. Names are numbered if the method has several pairs of runs."""
    if len(runs) == 1:
        return [(method, runs[0])]
    return [(f"{method}, seed {i} of {len(runs)}", audit) for i, audit in enumerate(runs, 1)]


def _audit(method: str, audit: Audit) -> Markup:
    tone = TONES[EQUAL if audit.equal else DIFFERS]
    sign = element("span", "✓ " if audit.equal else "✗ ", class_=f"verdict {tone}")
    return folded(
        [sign, element("bdi", method), f": {audit.verdict}"],
        _lines(audit),
        _configuration(audit),
        _curves(audit),
    )


def _lines(audit: Audit) -> Markup:
    heads = [Head(name, text=True) for name in ("Compared", "Verdict", *audit.tasks, "Rule")]
    rows = [_line(line) for line in audit.lines]
    return tables.table(heads, rows, caption="Options are compared exactly, logged values by the rule.")


def _line(line: Line) -> list[Content]:
    return [
        tables.name(line.name, line.group),
        tables.text(element("span", SIGNS[line.verdict], class_=f"verdict {TONES[line.verdict]}")),
        tables.text(_value(line.first), long=True),
        tables.text(_value(line.second), long=True),
        tables.text(line.rule, long=True),
    ]


def _configuration(audit: Audit) -> Markup | None:
    if not audit.configuration:
        return None
    heads = [Head(name, text=True) for name in ("Option", *audit.tasks)]
    rows = [
        [tables.name(one.key), tables.text(_value(one.first), long=True), tables.text(_value(one.second), long=True)]
        for one in audit.configuration
    ]
    return tables.table(heads, rows, caption="Options in which the two configurations differ.")


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_value(one)}" for key, one in value.items()) or "no options"
    return ", ".join(map(_value, value)) if isinstance(value, list | tuple) else str(value)


def _curves(audit: Audit) -> list[Content]:
    drawn = [curves(name, pair, audit.tasks) for name, pair in audit.curves.items()]
    figures = [element("figure", drawing) for drawing in drawn if drawing]
    return [_key(audit.tasks), element("div", figures, class_="charts small")] if figures else []


def _key(tasks: Sequence[str]) -> Markup:
    lines = [element("polyline", class_=f"curve c{i}", points="0,5 30,5") for i in range(len(tasks))]
    samples = [element("svg", line, class_="sample", viewBox="0 0 30 10", aria_hidden="true") for line in lines]
    return element("ul", [element("li", s, f" {task}") for s, task in zip(samples, tasks, strict=True)], class_="key")
