"""From a folder or a file to what the page is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from nanogen_core import storage, yaml_files
from nanogen_core.bench.audit.lines import Audit
from nanogen_core.bench.conditions import choose
from nanogen_core.bench.results import Study
from nanogen_core.bench.study import study
from nanogen_core.bench.table import SHIPPED, Table, read_table
from nanogen_core.errors import ConfigError, DataError
from nanogen_core.report.columns import CLASSES, TEXTS, columns
from nanogen_core.report.subject import Picture, Subject
from nanogen_core.structure import structure

TABLE, FILE = "table.csv", "report.html"
PLAN, AUDITS, CORRELATIONS = "plan.yaml", "audits.json", "correlations.json"
SAMPLES = "*/*/seed-*/samples/step-*.png"  # TASK/METHOD/seed-N/, as `nanogen bench mini` lays them out
QUICK = 100  # draws of a study that is made only to see whether one can be


@frozen(kw_only=True)
class Request:
    """What was asked for; see `_completed` for what was not said."""

    place: str
    xs: Sequence[str] = ()
    ys: Sequence[str] = ()
    where: Sequence[str] = ()
    said: Mapping[str, str] = field(factory=dict)
    title: str = ""
    about: Sequence[str] = ()
    draws: int = 10_000  # of each bootstrap, and permutations

    @property
    def folder(self) -> Path | None:
        return Path(self.place) if Path(self.place).is_dir() else None


def written_to(place: str) -> Path:
    """Where the page goes when nobody says: into the folder, or beside the table under its name."""
    if Path(place).is_dir():
        return Path(place) / FILE
    return Path(f"{place}.html") if place in SHIPPED else Path(place).with_suffix(".html")


def read(request: Request) -> Subject:
    """Everything on the page. What cannot be worked out is a sentence on it.

    Raises DataError where the table is missing or damaged or has no such column; ConfigError for an unknown direction.
    """
    table = _table(request)
    request = _completed(request, table)
    for name in (*request.xs, *request.ys):
        table.column(name)
    chosen, why = _studies(table, request, request.where)
    narrowed = len(choose(table, request.where).rows) < len(table.rows)
    everyone, why_all = _studies(table, request, ()) if narrowed else ([], [])
    return Subject(
        title=request.title,
        about=request.about,
        table=table,
        columns=columns(table, request.xs, request.ys, request.said),
        chosen=chosen or everyone,
        everyone=everyone if chosen else (),
        omitted=list(dict.fromkeys([*why, *why_all])),
        audits=_audits(request.folder) if request.folder else {},
        pictures=list(_pictures(request.folder)) if request.folder else (),
    )


def _table(request: Request) -> Table:
    if request.folder is None:
        return read_table(request.place)
    file = request.folder / TABLE
    if not file.is_file():
        raise DataError(f"{request.folder} has no {TABLE}: `nanogen bench mini` or `nanogen bench collect` writes one.")
    return read_table(file)


def _completed(request: Request, table: Table) -> Request:
    """With what was not said: as the plan or the shipped table has it, or else the first known column of classes and
    every one of texts."""
    said = _preset(request)
    known = columns(table, (), (), {})
    xs = request.xs or said.get("x") or [column.name for column in known if column.task == CLASSES][:1]
    ys = request.ys or said.get("y") or [column.name for column in known if column.task == TEXTS]
    about, where = request.about or said.get("about", ()), request.where or said.get("where", ())
    title = request.title or said.get("title") or f"DiffusionBench: {Path(request.place).resolve().stem}"
    directions = {**_directions(request.folder), **request.said}
    return evolve(
        request, xs=tuple(xs), ys=tuple(ys), where=tuple(where), about=tuple(about), title=title, said=directions
    )


def _preset(request: Request) -> Mapping[str, Any]:
    if request.place in SHIPPED:
        name = f"{request.place}.yaml"
        return dict(yaml_files.parse((files("nanogen_core.report") / name).read_text(encoding="utf-8"), name))
    return _plan(request.folder)


def _plan(folder: Path | None) -> Mapping[str, Any]:
    return yaml_files.read(folder / PLAN) if folder and (folder / PLAN).is_file() else {}


def _directions(folder: Path | None) -> dict[str, str]:
    """Which way the scores point, as the metrics themselves said when the folder's studies were made."""
    file = folder / CORRELATIONS if folder else None
    studies = storage.read_json(file) if file and file.is_file() else {}
    return {column: way for found in studies.values() for column, way in found.get("directions", {}).items()}


# -- the studies -------------------------------------------------------------------------------------------------


def _studies(table: Table, request: Request, where: Sequence[str]) -> tuple[list[Study], list[str]]:
    """A study for each first score that goes, and a sentence for each pair that does not."""
    if not request.xs or not request.ys:
        return [], ["The table lacks scores of one task, so that nothing can be compared: --x and --y name them."]
    found, why = [], []
    for x in request.xs:
        reasons = {y: _reason(table, x, y, request, where) for y in request.ys}
        ys = [y for y, reason in reasons.items() if reason is None]
        why += [reason for reason in reasons.values() if reason]
        found += [study(table, x=x, ys=ys, where=where, said=request.said, draws=request.draws)] if ys else []
    return found, why


def _reason(table: Table, x: str, y: str, request: Request, where: Sequence[str]) -> str | None:
    """Why this pair cannot be studied, if it cannot."""
    try:
        study(table, x=x, ys=[y], where=where, said=request.said, draws=QUICK)
    except DataError as error:
        return str(error)
    return None


# -- what lies beside the table ----------------------------------------------------------------------------------


def _audits(folder: Path) -> dict[str, list[Audit]]:
    """Method -> its audits, seed by seed."""
    file = folder / AUDITS
    if not file.is_file():
        return {}
    worked_out = ("equal", "verdict")
    return {
        method: [_audit({key: value for key, value in one.items() if key not in worked_out}, file) for one in runs]
        for method, runs in storage.read_json(file).items()
    }


def _audit(values: Mapping[str, Any], file: Path) -> Audit:
    try:
        return structure(values, Audit, "audit", finite=False)
    except ConfigError as error:
        raise DataError(f"{file} is damaged: {error}. `nanogen bench mini` writes it.") from error


def _pictures(folder: Path) -> Iterator[Picture]:
    """The last sheet of the first seed of every method, by task."""
    methods = _plan(folder).get("methods", {})
    sheets: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.glob(SAMPLES), key=_age):
        task, method, *_ = file.relative_to(folder).parts
        sheets[task, method] = file
    for (task, method), file in sorted(sheets.items()):
        step, seed = int(file.stem.partition("-")[2]), file.parts[-3].partition("-")[2]
        summary = methods.get(method, {}).get("summary")
        told = f"samples after {step:,} steps, seed {seed}"
        yield Picture(task, method, file, f"{summary}; {told}" if summary else told)


def _age(file: Path) -> tuple[int, str]:
    """Higher seeds first and later steps last, so that the last one seen is the latest of the lowest seed."""
    return (-int(file.parts[-3].partition("-")[2]), file.name)
