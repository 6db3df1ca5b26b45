"""Reading of the data of a page, from a folder or file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from attrs import evolve, field, frozen

from nanogen_bench.correlation.results import Study
from nanogen_bench.correlation.row_filters import choose
from nanogen_bench.correlation.study import study
from nanogen_bench.correlation.table import SHIPPED, Table, read_table
from nanogen_bench.report.columns import CLASSES, TEXTS, columns
from nanogen_bench.report.page_data import PageData, Picture
from nanogen_bench.report.study_folder import Preset, StudyFolder, preset, study_folder
from nanogen_core.errors import DataError
from nanogen_files import yaml_files

TABLE, FILE = "table.csv", "report.html"
SAMPLES = "*/*/seed-*/samples/step-*.png"  # TASK/METHOD/seed-N/, as `nanogen bench mini` lays them out
_SHEET = re.compile(r"seed-(\d{1,18})/samples/step-(\d{1,18})\.png")
NO_FOLDER = StudyFolder()  # for a single file
TRIAL_DRAWS = 100  # draws of a study that only tests whether it is possible


@frozen(kw_only=True)
class Request:
    """Options of a report. Empty options have defaults, see `_with_defaults`.

    Attributes:
        place: Experiment folder, CSV file, or name of a shipped table.
        xs: Columns of class-conditional scores.
        ys: Columns of text-to-image scores.
        where: Conditions on the rows of the main study.
        directions: Column -> `"lower"` or `"higher"`.
        title: Heading of the page.
        about: Paragraphs below the heading.
        draws: Number of bootstrap draws, and of permutations.
    """

    place: str
    xs: Sequence[str] = ()
    ys: Sequence[str] = ()
    where: Sequence[str] = ()
    directions: Mapping[str, str] = field(factory=dict)
    title: str = ""
    about: Sequence[str] = ()
    draws: int = 10_000

    @property
    def folder(self) -> Path | None:
        """The folder, or None if `place` is a file or shipped table."""
        return Path(self.place) if Path(self.place).is_dir() else None


def default_output(place: str) -> Path:
    """Return the default path of the page: in the folder, next to the CSV file, or `NAME.html` for a shipped table."""
    if Path(place).is_dir():
        return Path(place) / FILE
    return Path(f"{place}.html") if place in SHIPPED else Path(place).with_suffix(".html")


def read(request: Request) -> PageData:
    """Read and compute everything on the page. Studies that are not possible are reported on the page.

    Raises:
        DataError: The table is missing, damaged, or lacks a column. Or no row meets the conditions. Or all runs of the
            folder are damaged or unfinished.
        ConfigError: The direction of a column is unknown, or a condition has the wrong form.
    """
    table = _table(request)
    files = study_folder(request.folder) if request.folder else NO_FOLDER
    request = _with_defaults(request, table, files)
    for name in (*request.xs, *request.ys):
        table.column(name)
    chosen, omitted = _studies(table, request, request.where)
    narrowed = len(choose(table, request.where).rows) < len(table.rows)
    everyone, omitted_all = _studies(table, request, ()) if narrowed else ([], [])
    return PageData(
        title=request.title,
        about=request.about,
        table=table,
        columns=columns(table, request.xs, request.ys, request.directions),
        chosen=chosen or everyone,
        everyone=everyone if chosen else (),
        omitted=list(dict.fromkeys([*omitted, *omitted_all])),
        left_out=files.left_out,
        audits=files.audits,
        perturbations=files.perturbations,
        progress=files.progress,
        selected=files.selected,
        pictures=list(_pictures(request.folder, files.preset)) if request.folder else (),
    )


def _table(request: Request) -> Table:
    if request.folder is None:
        return read_table(request.place)
    file = request.folder / TABLE
    if not file.is_file():
        raise DataError(
            f"{request.folder} has no {TABLE}: write one with `nanogen bench mini` or `nanogen bench collect`."
        )
    return read_table(file)


def _with_defaults(request: Request, table: Table, files: StudyFolder) -> Request:
    """Complete a request by the preset of the plan or shipped table.

    Without a preset, compares the first class-conditional column with all text-to-image columns.
    """
    defaults = _shipped(request.place) if request.place in SHIPPED else files.preset
    known = columns(table, (), (), {})
    xs = request.xs or defaults.x or [column.name for column in known if column.task == CLASSES][:1]
    ys = request.ys or defaults.y or [column.name for column in known if column.task == TEXTS]
    return evolve(
        request,
        xs=tuple(xs),
        ys=tuple(ys),
        where=tuple(request.where or defaults.where),
        about=tuple(request.about or defaults.about),
        title=request.title or defaults.title or f"DiffusionBench: {Path(request.place).resolve().stem}",
        directions={**files.directions, **request.directions},
    )


def _shipped(place: str) -> Preset:
    name = f"{place}.yaml"
    text = (resources.files("nanogen_bench.report") / name).read_text(encoding="utf-8")
    return preset(yaml_files.parse(text, name), name)


# -- the studies -------------------------------------------------------------------------------------------------


def _studies(table: Table, request: Request, where: Sequence[str]) -> tuple[list[Study], list[str]]:
    """Return a study for each x, and an error message for each pair that cannot be studied."""
    if not request.xs or not request.ys:
        return [], ["The table lacks known scores of one task. Give the columns to compare with --x and --y."]
    found, omitted = [], []
    for x in request.xs:
        reasons = {y: _reason(table, x, y, request, where) for y in request.ys}
        ys = [y for y, reason in reasons.items() if reason is None]
        omitted += [reason for reason in reasons.values() if reason]
        if ys:
            found.append(study(table, x=x, ys=ys, where=where, directions=request.directions, draws=request.draws))
    return found, omitted


def _reason(table: Table, x: str, y: str, request: Request, where: Sequence[str]) -> str | None:
    """Error message if a pair cannot be studied; None otherwise."""
    try:
        study(table, x=x, ys=[y], where=where, directions=request.directions, draws=TRIAL_DRAWS)
    except DataError as error:
        return str(error)
    return None


# -- samples -----------------------------------------------------------------------------------------------------


def _pictures(folder: Path, plan: Preset) -> Iterator[Picture]:
    """Yield the last sheet of the first seed of each method, by task."""
    sheets: dict[tuple[str, str], tuple[tuple[int, int], Path]] = {}
    for file in sorted(folder.glob(SAMPLES)):
        task, method, *rest = file.relative_to(folder).parts
        match = _SHEET.fullmatch("/".join(rest))
        if match:
            order = (-int(match[1]), int(match[2]))  # lowest seed, then latest step
            sheets[task, method] = max(sheets.get((task, method), (order, file)), (order, file))
    for (task, method), ((seed, step), file) in sorted(sheets.items()):
        summary = plan.methods[method].summary if method in plan.methods else ""
        description = f"samples after {step:,} steps, seed {-seed}"
        yield Picture(task, method, file, f"{summary}; {description}" if summary else description)
