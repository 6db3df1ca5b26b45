"""What came of an experiment: its tables, the correlations, the audits, and the same in a few lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from nanogen_bench.audit.compare import audit
from nanogen_bench.audit.lines import Audit
from nanogen_bench.collected.entries import Entry, entry
from nanogen_bench.collected.models import Model, models
from nanogen_bench.collected.tables import model_rows, run_rows, text
from nanogen_bench.correlation.results import Study
from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import Table
from nanogen_bench.mini.job import Job
from nanogen_bench.mini.plan import ExperimentPlan
from nanogen_core.errors import NanoGenError
from nanogen_files import storage

RUNS, TABLE, CORRELATIONS, AUDITS = "runs.csv", "table.csv", "correlations.json", "audits.json"
COST = ("steps", "seconds", "judging_seconds", "parameters", "precision")


def write(plan: ExperimentPlan, output: Path, jobs: Sequence[Job]) -> Iterator[str]:
    """Writes the files about what is finished; yields what there is to say about it, and what is damaged."""
    finished = {job.folder: result for job in jobs if job.judged and (result := job.result)}
    entries, why = _entries([job for job in jobs if job.folder in finished], plan)
    yield from why
    if not entries:
        yield "No run is finished, so there is no table."
        return
    costs = {folder: {name: result.get(name) for name in COST} for folder, result in finished.items()}
    rows = models(entries)
    storage.write_text(output / RUNS, text(run_rows(entries, costs)))
    storage.write_text(output / TABLE, text(model_rows(rows)))
    yield from _ranking(rows, plan)
    audits, why = _audits(entries)
    yield from why
    storage.write_json(output / AUDITS, {name: [one.as_dict() for one in found] for name, found in audits.items()})
    yield from _regimes(audits)
    studies, why = _studies(rows, plan)
    storage.write_json(output / CORRELATIONS, {x: found.as_dict() for x, found in studies.items()})
    yield from (line for found in studies.values() for line in found.summary)
    yield from why
    yield f"Tables, correlations and audits: {output}. The page: nanogen bench report {output}"


def _entries(jobs: Sequence[Job], plan: ExperimentPlan) -> tuple[list[Entry], list[str]]:
    """The finished runs, and the sentences for those whose files are damaged."""
    found, why = [], []
    for job in jobs:
        try:
            found.append(evolve(entry(f"{job.name}={job.folder}"), family=plan.methods[job.name].family))
        except NanoGenError as error:
            why.append(f"{job.title} is left out: {error}")
    return found, why


def _audits(entries: Sequence[Entry]) -> tuple[dict[str, list[Audit]], list[str]]:
    """Of each method, a run of one task against the run of the other with the same seed; and why some have none."""
    by_seed: dict[tuple[str, int], list[Entry]] = {}
    for one in entries:
        by_seed.setdefault((one.model, one.seed), []).append(one)
    found: dict[str, list[Audit]] = {}
    why = []
    for (model, seed), pair in by_seed.items():
        if len(pair) == 2:
            try:
                found.setdefault(model, []).append(audit(pair[0].folder, pair[1].folder))
            except NanoGenError as error:
                why.append(f"{model} seed {seed} has no audit: {error}")
    return found, why


def _studies(rows: Sequence[Model], plan: ExperimentPlan) -> tuple[dict[str, Study], list[str]]:
    """A study for each x of the plan, and the sentences for those that cannot be made."""
    table = Table.of(model_rows(rows), source=TABLE)
    said = {mean.column: _direction(mean.common.higher_is_better) for row in rows for mean in row.means.values()}
    found, why = {}, []
    for x in plan.x:
        try:
            found[x] = study(table, x=x, ys=plan.y, said=said)
        except NanoGenError as error:
            why.append(f"No correlation with {x}: {error}")
    return found, why


def _direction(higher: bool) -> str:
    return "higher" if higher else "lower"


def _ranking(rows: Sequence[Model], plan: ExperimentPlan) -> Iterator[str]:
    """The models on either task, the best first, by the plan's first columns."""
    for column in (plan.x[0], plan.y[0]):
        means = {row.name: row.means[column] for row in rows if column in row.means}
        if means:
            higher = next(iter(means.values())).common.higher_is_better
            best = sorted(means, key=lambda name: means[name].value, reverse=higher)
            told = ", ".join(f"{name} {means[name].value:.3f}" for name in best)
            yield f"By {column} ({_direction(higher)} is better; means over {len(plan.seeds)} seeds): {told}."


def _regimes(audits: Mapping[str, Sequence[Audit]]) -> Iterator[str]:
    """What the audits say together, and each that finds a difference."""
    every: list[Any] = [(name, one) for name, found in audits.items() for one in found]
    equal = sum(one.equal for _, one in every)
    if every:
        yield f"Regimes of the two tasks: equal but for the task in {equal} of {len(every)} pairs of runs."
    yield from (f"  {name}: {one.verdict}" for name, one in every if not one.equal)
