"""From a folder or a file to what the page is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from attrs import evolve, field, frozen

from nanogen_bench.correlation.results import Study
from nanogen_bench.correlation.row_filters import choose
from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import SHIPPED, Table, read_table
from nanogen_bench.report.columns import CLASSES, TEXTS, columns
from nanogen_bench.report.study_folder import Preset, StudyFolder, preset, study_folder
from nanogen_bench.report.subject import Picture, Subject
from nanogen_core.errors import DataError
from nanogen_files import yaml_files

TABLE, FILE = "table.csv", "report.html"
SAMPLES = "*/*/seed-*/samples/step-*.png"  # TASK/METHOD/seed-N/, as `nanogen bench mini` lays them out
_SHEET = re.compile(r"seed-(\d{1,18})/samples/step-(\d{1,18})\.png")
NOTHING = StudyFolder()  # beside a single file
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
    beside = study_folder(request.folder) if request.folder else NOTHING
    request = _completed(request, table, beside)
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
        left_out=beside.left_out,
        audits=beside.audits,
        pictures=list(_pictures(request.folder, beside.preset)) if request.folder else (),
    )


def _table(request: Request) -> Table:
    if request.folder is None:
        return read_table(request.place)
    file = request.folder / TABLE
    if not file.is_file():
        raise DataError(f"{request.folder} has no {TABLE}: `nanogen bench mini` or `nanogen bench collect` writes one.")
    return read_table(file)


def _completed(request: Request, table: Table, beside: StudyFolder) -> Request:
    """With what was not said: as the plan or the shipped table has it, or else the first known column of classes and
    every one of texts."""
    said = _shipped(request.place) if request.place in SHIPPED else beside.preset
    known = columns(table, (), (), {})
    xs = request.xs or said.x or [column.name for column in known if column.task == CLASSES][:1]
    ys = request.ys or said.y or [column.name for column in known if column.task == TEXTS]
    about, where = request.about or said.about, request.where or said.where
    title = request.title or said.title or f"DiffusionBench: {Path(request.place).resolve().stem}"
    directions = {**beside.directions, **request.said}
    return evolve(
        request, xs=tuple(xs), ys=tuple(ys), where=tuple(where), about=tuple(about), title=title, said=directions
    )


def _shipped(place: str) -> Preset:
    name = f"{place}.yaml"
    return preset(yaml_files.parse((files("nanogen_bench.report") / name).read_text(encoding="utf-8"), name), name)


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


def _pictures(folder: Path, plan: Preset) -> Iterator[Picture]:
    """The last sheet of the first seed of every method, by task."""
    sheets: dict[tuple[str, str], tuple[tuple[int, int], Path]] = {}
    for file in sorted(folder.glob(SAMPLES)):
        task, method, *rest = file.relative_to(folder).parts
        match = _SHEET.fullmatch("/".join(rest))
        if match:
            order = (-int(match[1]), int(match[2]))  # the latest of the lowest seed
            sheets[task, method] = max(sheets.get((task, method), (order, file)), (order, file))
    for (task, method), ((seed, step), file) in sorted(sheets.items()):
        summary = plan.methods[method].summary if method in plan.methods else ""
        told = f"samples after {step:,} steps, seed {-seed}"
        yield Picture(task, method, file, f"{summary}; {told}" if summary else told)
