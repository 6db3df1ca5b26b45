"""Reading of an experiment folder of `nanogen bench mini`, with error messages about damaged files and runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import field, frozen

from nanogen_bench.audit.lines import Audit
from nanogen_bench.collected.entries import entry
from nanogen_bench.mini import folders
from nanogen_bench.report import perturbations, progress
from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError, NanoGenError
from nanogen_eval.record import FILE as SCORES
from nanogen_files import csv_files, json_files, text_files, yaml_files
from nanogen_files.structure import structure
from nanogen_train.logging.metrics_log import LOG

PLAN, AUDITS, CORRELATIONS, RUNS = "plan.yaml", "audits.json", "correlations.json", "runs.csv"
LAYOUT = "*/*/seed-*"  # TASK/METHOD/seed-N
RUN_FILES = (CONFIG, LOG, SCORES, folders.STARTED, folders.RESULT)  # a folder with one of these is a run folder
DERIVED = ("equal", "verdict")  # keys of a stored audit that are not fields of Audit

T = TypeVar("T")


@frozen(kw_only=True)
class Method:
    """Description of a method in a plan."""

    summary: str = ""


@frozen(kw_only=True)
class Preset:
    """Options of the page that a plan or a shipped table sets. Most are described in `reading.Request`."""

    title: str = ""
    about: tuple[str, ...] = ()
    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    methods: Mapping[str, Method] = field(factory=dict)


@frozen
class StudyFolder:
    """Readable contents of an experiment folder.

    Attributes:
        preset: Options of the page, from the plan.
        directions: Column -> `"lower"` or `"higher"`, from the metrics.
        audits: Method -> audits of its pairs of runs.
        left_out: Error message for each damaged file, and for each damaged or unfinished run.
        perturbations: Content of `perturbations.json`; empty without perturbations.
        progress: Scores during training, by run.
        selected: A sentence for each checkpoint that was selected by a score.
    """

    preset: Preset = field(factory=Preset)
    directions: Mapping[str, str] = field(factory=dict)
    audits: Mapping[str, list[Audit]] = field(factory=dict)
    left_out: tuple[str, ...] = ()
    perturbations: Mapping[str, Any] = field(factory=dict)
    progress: progress.Scores = field(factory=dict)
    selected: tuple[str, ...] = ()


def study_folder(folder: Path) -> StudyFolder:
    """Read an experiment folder. Raises DataError if all of its runs are damaged or unfinished."""
    left_out: list[str] = []
    plan = _read(folder / PLAN, _plan, left_out)
    directions = _read(folder / CORRELATIONS, _directions, left_out)
    audits = _read(folder / AUDITS, _audits, left_out)
    in_table = _read(folder / RUNS, _in_table, left_out)
    perturbed = _read(folder / perturbations.FILE, perturbations.read, left_out)
    left_out += _damaged_runs(folder, in_table)
    runs = {run.relative_to(folder).as_posix(): run for run in sorted(folder.glob(LAYOUT))}
    curves = {name: _read(run / LOG, progress.curves_of, left_out, folder) for name, run in runs.items()}
    selected = {name: _read(run / progress.BEST, progress.selection, left_out, folder) for name, run in runs.items()}
    return StudyFolder(
        preset=plan or Preset(),
        directions=directions or {},
        audits=audits or {},
        left_out=tuple(left_out),
        perturbations=perturbed or {},
        progress={name: found for name, found in curves.items() if found},
        selected=tuple(f"{name}: {sentence}" for name, sentence in selected.items() if sentence),
    )


def _read(file: Path, reader: Callable[[Path], T], left_out: list[str], folder: Path | None = None) -> T | None:
    """Read a file. Returns None if it does not exist or is damaged, and adds the error to `left_out`.

    The error names the file relative to `folder`, by default the folder that contains the file.
    """
    if not os.path.lexists(file):
        return None
    try:
        return reader(file)
    except NanoGenError as error:
        folder = folder or file.parent
        left_out.append(f"{file.relative_to(folder)} is damaged: {_message(error, folder)}")
        return None


def preset(raw: Mapping[str, Any], name: str) -> Preset:
    """Read the options of the page from a plan or the file of a shipped table.

    Args:
        raw: Values of the file.
        name: File name, for error messages.

    Raises:
        ConfigError: A value has the wrong type.
        DataError: `methods` is not a mapping of mappings.
    """
    known = {key: value for key, value in raw.items() if key in attrs.fields_dict(Preset)}
    methods = known.pop("methods", {})
    if not isinstance(methods, Mapping) or not all(isinstance(value, Mapping) for value in methods.values()):
        raise DataError(
            f"{name}: `methods` must contain a mapping for each method, such as `rae: {{summary: text}}`. Correct it."
        )
    found = {
        key: structure({"summary": value.get("summary", "")}, Method, f"methods.{key}")
        for key, value in methods.items()
    }
    return attrs.evolve(structure(known, Preset, "plan"), methods=found)


def _plan(file: Path) -> Preset:
    raw = yaml_files.parse(text_files.read(file), PLAN)
    if not isinstance(raw, Mapping):
        raise DataError(f"{PLAN} must be a mapping of keys and values. Correct it.")
    return preset(raw, PLAN)


def _directions(file: Path) -> dict[str, str]:
    """Return the directions of the scores, as the metrics declared them when the studies were written."""
    found: dict[str, str] = {}
    for study in json_files.read_object(file).values():
        directions = study.get("directions", {}) if isinstance(study, dict) else None
        if not isinstance(directions, dict) or not set(map(str, directions.values())) <= {"lower", "higher"}:
            raise DataError(
                f"{file}: `directions` must contain `lower` or `higher` for each score. "
                "Run the `nanogen bench mini` command of this folder again: it rewrites the file."
            )
        found |= directions
    return found


def _audits(file: Path) -> dict[str, list[Audit]]:
    """Method -> audits, one per seed."""
    return {method: list(_audits_of(runs, file)) for method, runs in json_files.read_object(file).items()}


def _audits_of(runs: Any, file: Path) -> Iterator[Audit]:
    if not isinstance(runs, list) or not all(isinstance(one, dict) for one in runs):
        raise DataError(
            f"{file} must contain a list of audits for each method. Run the `nanogen bench mini` command of this"
            " folder again: it rewrites the file."
        )
    for one in runs:
        values = {key: value for key, value in one.items() if key not in DERIVED}
        yield structure(values, Audit, "audit", finite=False)


# -- the runs ----------------------------------------------------------------------------------------------------------


def _in_table(file: Path) -> set[tuple[str, str, str]]:
    """Task, model and seed of the runs in the table."""
    return {(row.cells["task"], row.cells["model"], row.cells["seed"]) for row in csv_files.read(file, _KEYS)}


_KEYS = ("task", "model", "seed")


def _damaged_runs(folder: Path, in_table: set[tuple[str, str, str]] | None) -> list[str]:
    """Error message for each run that cannot be read, sorted by name."""
    runs = [run for run in sorted(folder.glob(LAYOUT)) if any(os.path.lexists(run / name) for name in RUN_FILES)]
    wrong = {run: reason for run in runs if (reason := _reason(run))}
    if runs and len(wrong) == len(runs):
        first = _message(DataError(wrong[runs[0]]), folder)
        raise DataError(
            f"All runs in {folder} are damaged or unfinished. The first error: {first} For a page of the"
            f" table alone, give the file {folder / 'table.csv'}."
        )
    return [_run_message(run, reason, folder, in_table) for run, reason in wrong.items()]


def _reason(run: Path) -> str | None:
    """Error message if a run cannot be read; None otherwise."""
    started, finished = (os.path.lexists(run / name) for name in (folders.STARTED, folders.RESULT))
    try:
        if finished:
            folders.read_result(run / folders.RESULT)
        elif started:
            return "the run is unfinished."
        entry(f"{run.name}={run}")
    except NanoGenError as error:
        return str(error)
    return None


def _run_message(run: Path, reason: str, folder: Path, in_table: set[tuple[str, str, str]] | None) -> str:
    task, model, seed = run.relative_to(folder).parts
    where = ""
    if in_table is not None:
        inside = (task, model, seed.removeprefix("seed-")) in in_table
        where = " (the table contains its earlier scores)" if inside else " (not in the table)"
    return f"{task}/{model}/{seed}{where}: {_message(DataError(reason), folder)}"


def _message(error: Exception, folder: Path) -> str:
    """First line of an error, with paths relative to the folder."""
    return str(error).partition("\n")[0].replace(f"{folder}{os.sep}", "")
