"""What `nanogen bench mini` wrote into a folder beside the table: what can be read of it, and what cannot."""

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
from nanogen_core.config import CONFIG
from nanogen_core.errors import DataError, NanoGenError
from nanogen_eval.record import FILE as SCORES
from nanogen_files import csv_files, json_files, text_files, yaml_files
from nanogen_files.structure import structure
from nanogen_train.logging.metrics_log import LOG

PLAN, AUDITS, CORRELATIONS, RUNS = "plan.yaml", "audits.json", "correlations.json", "runs.csv"
LAYOUT = "*/*/seed-*"  # TASK/METHOD/seed-N
MARKS = (CONFIG, LOG, SCORES, folders.STARTED, folders.RESULT)  # a folder with one of these is that of a run
DERIVED = ("equal", "verdict")  # what an audit in a file says beside its lines

T = TypeVar("T")


@frozen(kw_only=True)
class Method:
    """What a plan says of a method."""

    summary: str = ""


@frozen(kw_only=True)
class Preset:
    """What a plan, or a shipped table, says about the page."""

    title: str = ""
    about: tuple[str, ...] = ()
    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    methods: Mapping[str, Method] = field(factory=dict)


@frozen
class StudyFolder:
    """The readable files of a study. `left_out` has a sentence for each file and run that is damaged or unfinished."""

    preset: Preset = field(factory=Preset)
    directions: Mapping[str, str] = field(factory=dict)
    audits: Mapping[str, list[Audit]] = field(factory=dict)
    left_out: tuple[str, ...] = ()


def study_folder(folder: Path) -> StudyFolder:
    """Read what lies beside the table. Raises DataError if every run in the folder is damaged."""
    left_out: list[str] = []
    plan = _read(folder / PLAN, _plan, left_out)
    directions = _read(folder / CORRELATIONS, _directions, left_out)
    audits = _read(folder / AUDITS, _audits, left_out)
    counted = _read(folder / RUNS, _counted, left_out)
    left_out += _runs(folder, counted)
    return StudyFolder(plan or Preset(), directions or {}, audits or {}, tuple(left_out))


def _read(file: Path, reader: Callable[[Path], T], left_out: list[str]) -> T | None:
    """What the file says, or None where there is no file or a damaged one, which is then noted."""
    if not os.path.lexists(file):
        return None
    try:
        return reader(file)
    except NanoGenError as error:
        left_out.append(f"{file.name} is damaged: {_sentence(error, file.parent)}")
        return None


def preset(raw: Mapping[str, Any], name: str) -> Preset:
    """The page's part of a plan. Raises ConfigError for values of another type."""
    known = {key: value for key, value in raw.items() if key in attrs.fields_dict(Preset)}
    methods = known.pop("methods", {})
    if not isinstance(methods, Mapping) or not all(isinstance(value, Mapping) for value in methods.values()):
        raise DataError(f"{name}: `methods` must hold a mapping for each method.")
    found = {
        key: structure({"summary": value.get("summary", "")}, Method, f"methods.{key}")
        for key, value in methods.items()
    }
    return attrs.evolve(structure(known, Preset, "plan"), methods=found)


def _plan(file: Path) -> Preset:
    raw = yaml_files.parse(text_files.read(file), PLAN)
    if not isinstance(raw, Mapping):
        raise DataError(f"{PLAN} holds no keys and values.")
    return preset(raw, PLAN)


def _directions(file: Path) -> dict[str, str]:
    """Which way the scores point, as the metrics themselves said when the folder's studies were made."""
    found: dict[str, str] = {}
    for study in json_files.read_object(file).values():
        directions = study.get("directions", {}) if isinstance(study, dict) else None
        if not isinstance(directions, dict) or not set(map(str, directions.values())) <= {"lower", "higher"}:
            raise DataError(f"{file} does not say `lower` or `higher` for each score.")
        found |= directions
    return found


def _audits(file: Path) -> dict[str, list[Audit]]:
    """Method -> its audits, seed by seed."""
    return {method: list(_audits_of(runs, file)) for method, runs in json_files.read_object(file).items()}


def _audits_of(runs: Any, file: Path) -> Iterator[Audit]:
    if not isinstance(runs, list) or not all(isinstance(one, dict) for one in runs):
        raise DataError(f"{file} does not hold a list of audits for each method.")
    for one in runs:
        values = {key: value for key, value in one.items() if key not in DERIVED}
        yield structure(values, Audit, "audit", finite=False)


# -- the runs ----------------------------------------------------------------------------------------------------------


def _counted(file: Path) -> set[tuple[str, str, str]]:
    """Task, model and seed of the runs that the table is made of."""
    return {(row.cells["task"], row.cells["model"], row.cells["seed"]) for row in csv_files.read(file, _KEYS)}


_KEYS = ("task", "model", "seed")


def _runs(folder: Path, counted: set[tuple[str, str, str]] | None) -> list[str]:
    """A sentence for each run that cannot be read, in the order of their names."""
    runs = [run for run in sorted(folder.glob(LAYOUT)) if any(os.path.lexists(run / name) for name in MARKS)]
    wrong = {run: reason for run in runs if (reason := _reason(run))}
    if runs and len(wrong) == len(runs):
        first = _sentence(DataError(wrong[runs[0]]), folder)
        raise DataError(
            f"All {len(runs)} runs in {folder} are damaged or unfinished. The first: {first} Name the table alone to"
            f" make a page of it: {folder / 'table.csv'}."
        )
    return [_told(run, reason, folder, counted) for run, reason in wrong.items()]


def _reason(run: Path) -> str | None:
    """Why a run cannot be read, if it cannot."""
    started, finished = (os.path.lexists(run / name) for name in (folders.STARTED, folders.RESULT))
    try:
        if finished:
            folders.read_result(run / folders.RESULT)
        elif started:
            return "it is not finished."
        entry(f"{run.name}={run}")
    except NanoGenError as error:
        return str(error)
    return None


def _told(run: Path, reason: str, folder: Path, counted: set[tuple[str, str, str]] | None) -> str:
    task, model, seed = run.relative_to(folder).parts
    where = ""
    if counted is not None:
        inside = (task, model, seed.removeprefix("seed-")) in counted
        where = " (its scores are in the table, which was made before)" if inside else " (it is not in the table)"
    return f"{task}/{model}/{seed}{where}: {_sentence(DataError(reason), folder)}"


def _sentence(error: Exception, folder: Path) -> str:
    """The first line of an error, with paths inside the folder."""
    return str(error).partition("\n")[0].replace(f"{folder}{os.sep}", "")
