"""Results of an experiment: tables, correlations and audits as files, and a summary as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve

from nanogen_bench.audit.compare import audit
from nanogen_bench.audit.lines import Audit
from nanogen_bench.collected.entries import Entry, entry
from nanogen_bench.collected.models import Model, models
from nanogen_bench.collected.tables import model_rows, run_rows, text
from nanogen_bench.correlation.results import Study
from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import Table
from nanogen_bench.mini import perturbations
from nanogen_bench.mini.job import Job
from nanogen_bench.mini.plan import NONE, ExperimentPlan
from nanogen_core.errors import NanoGenError
from nanogen_files import storage
from nanogen_files.errors import counted

RUNS, TABLE, CORRELATIONS, AUDITS = "runs.csv", "table.csv", "correlations.json", "audits.json"
COST = ("steps", "seconds", "evaluation_seconds", "parameters", "precision")


def write(plan: ExperimentPlan, output: Path, jobs: Sequence[Job]) -> Iterator[str]:
    """Write the tables, correlations and audits of all finished runs.

    Args:
        output: Output folder.
        jobs: All runs of the plan.

    Yields:
        Lines of the summary, and error messages about runs, audits and studies that are left out.
    """
    everything, jobs = jobs, [job for job in jobs if job.perturbation == NONE]
    finished = {job.folder: result for job in jobs if job.eval_samples and (result := job.result)}
    entries, problems = _entries([job for job in jobs if job.folder in finished], plan)
    yield from problems
    if not entries:
        yield "No run is finished: no tables are written."
        return
    costs = {folder: {name: result.get(name) for name in COST} for folder, result in finished.items()}
    rows = models(entries)
    storage.write_text(output / RUNS, text(run_rows(entries, costs)))
    storage.write_text(output / TABLE, text(model_rows(rows)))
    yield from _ranking(rows, plan)
    audits, problems = _audits(entries)
    yield from problems
    storage.write_json(output / AUDITS, {name: [one.as_dict() for one in found] for name, found in audits.items()})
    yield from _audit_summary(audits)
    studies, problems = _studies(rows, plan)
    storage.write_json(output / CORRELATIONS, {x: found.as_dict() for x, found in studies.items()})
    yield from (line for found in studies.values() for line in found.summary)
    yield from problems
    if plan.perturbations:
        yield from _perturbations(plan, output, everything, studies)
    yield f"Tables, correlations and audits: {output}. For an HTML page: nanogen bench report {output}"


def _perturbations(
    plan: ExperimentPlan, output: Path, jobs: Sequence[Job], studies: Mapping[str, Study]
) -> Iterator[str]:
    """Write the correlations of all retrainings. Yields their summary, and error messages about damaged runs."""
    entries: dict[str, list[Entry]] = {}
    for name in (NONE, *plan.perturbations):
        finished = [job for job in jobs if job.perturbation == name and job.eval_samples and job.result]
        entries[name], problems = _entries(finished, plan)
        yield from problems if name != NONE else ()
    yield from perturbations.write(plan, output, entries, studies)


def _entries(jobs: Sequence[Job], plan: ExperimentPlan) -> tuple[list[Entry], list[str]]:
    """Return the finished runs, and error messages about damaged ones."""
    found, problems = [], []
    for job in jobs:
        try:
            found.append(evolve(entry(f"{job.name}={job.folder}"), family=plan.methods[job.name].family))
        except NanoGenError as error:
            problems.append(f"{job.title} is left out: {error}")
    return found, problems


def _audits(entries: Sequence[Entry]) -> tuple[dict[str, list[Audit]], list[str]]:
    """Return the audits by method, of both runs of each seed, and error messages about audits that fail."""
    by_seed: dict[tuple[str, int], list[Entry]] = {}
    for one in entries:
        by_seed.setdefault((one.model, one.seed), []).append(one)
    found: dict[str, list[Audit]] = {}
    problems = []
    for (model, seed), pair in by_seed.items():
        if len(pair) == 2:
            try:
                found.setdefault(model, []).append(audit(pair[0].folder, pair[1].folder))
            except NanoGenError as error:
                problems.append(f"{model} seed {seed} has no audit: {error}")
    return found, problems


def _studies(rows: Sequence[Model], plan: ExperimentPlan) -> tuple[dict[str, Study], list[str]]:
    """Return the studies by x column of the plan, and error messages about studies that fail."""
    table = Table.of(model_rows(rows), source=TABLE)
    directions = {mean.column: _direction(mean.common.higher_is_better) for row in rows for mean in row.means.values()}
    found, problems = {}, []
    for x in plan.x:
        try:
            found[x] = study(table, x=x, ys=plan.y, directions=directions)
        except NanoGenError as error:
            problems.append(f"No correlation with {x}: {error}")
    return found, problems


def _direction(higher: bool) -> str:
    return "higher" if higher else "lower"


def _ranking(rows: Sequence[Model], plan: ExperimentPlan) -> Iterator[str]:
    """Return the rankings by the first x column and the first y column, best model first."""
    for column in (plan.x[0], plan.y[0]):
        means = {row.name: row.means[column] for row in rows if column in row.means}
        if means:
            higher = next(iter(means.values())).common.higher_is_better
            best = sorted(means, key=lambda name: means[name].value, reverse=higher)
            ranking = ", ".join(f"{name} {means[name].value:.3f}" for name in best)
            seeds = counted(len(plan.seeds), "seed")
            yield f"By {column} ({_direction(higher)} is better; means over {seeds}): {ranking}."


def _audit_summary(audits: Mapping[str, Sequence[Audit]]) -> Iterator[str]:
    """Number of pairs without differences, and the verdicts of all others."""
    pairs = [(name, audit) for name, found in audits.items() for audit in found]
    equal = sum(audit.equal for _, audit in pairs)
    if pairs:
        yield f"Trainings on the two tasks: equal apart from the task in {equal} of {len(pairs)} pairs of runs."
    yield from (f"  {name}: {audit.verdict}" for name, audit in pairs if not audit.equal)
