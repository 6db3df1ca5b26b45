"""HTML document of the report page: head, sections, footer."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Sequence
from importlib.resources import files

from attrs import frozen

from nanogen_bench.correlation.table import Table
from nanogen_bench.report.audits import audits
from nanogen_bench.report.columns import title
from nanogen_bench.report.conclusions import conclusions
from nanogen_bench.report.correlations import correlations
from nanogen_bench.report.families import marks
from nanogen_bench.report.leaderboard import leaderboard
from nanogen_bench.report.markup import Content, Markup, digest, element, raw
from nanogen_bench.report.page_data import PageData
from nanogen_bench.report.perturbations import perturbations
from nanogen_bench.report.pictures import pictures
from nanogen_bench.report.progress import progress
from nanogen_bench.report.rank_changes import rank_changes
from nanogen_bench.report.scatter_plots import scatter_plots
from nanogen_bench.report.sensitivity import sensitivity


@frozen
class Section:
    """Section of the page. `short` is its name in the table of contents."""

    id: str
    short: str
    title: str
    content: Sequence[Content]


def page(data: PageData) -> str:
    """Return the HTML document. It is deterministic, and contains no dates or paths."""
    style, script = _file("page.css"), _file("page.js")
    sections = _sections(data)
    body = element(
        "body",
        element("a", "To the content", class_="skip", href="#content"),
        _header(data, sections),
        element("main", [_section(section) for section in sections], id="content"),
        _footer(data.table),
        raw("script", script),
    )
    document = element("html", _head(data.title, style, script), body, lang="en")
    return f"<!doctype html>\n{document}\n"


def _file(name: str) -> str:
    return (files("nanogen_bench.report") / name).read_text(encoding="utf-8")


def _head(title: str, style: str, script: str) -> Markup:
    """Head with a content security policy that allows only the embedded style, script and images."""
    policy = (
        f"default-src 'none'; img-src data:; style-src {digest(style)}; script-src {digest(script)};"
        " base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        raw("style", style),
    )


def _header(data: PageData, sections: Sequence[Section]) -> Markup:
    links = [element("li", element("a", section.short, href=f"#{section.id}")) for section in sections]
    nav = element(
        "nav",
        element("ul", links),
        element("button", "Dark page", type="button", class_="theme", hidden=True),
        aria_label="Contents",
    )
    about = [element("p", text) for text in data.about]
    return element("header", element("h1", element("bdi", data.title)), about, nav)


def _section(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.id}-title")
    return element("section", heading, section.content, id=section.id, aria_labelledby=f"{section.id}-title")


def _sections(data: PageData) -> list[Section]:
    conclusion = Section("conclusions", "Conclusions", "Conclusions", _conclusions(data))
    board = Section("leaderboard", "Leaderboard", "All models on both tasks", leaderboard(data, marks(data.families)))
    return [conclusion, board, *_study_sections(data), *_run_sections(data)]


def _conclusions(data: PageData) -> list[Content]:
    omitted = [element("p", sentence, class_="note") for sentence in data.omitted]
    return [conclusions(data.groups, title) if data.chosen else None, omitted, _left_out(data.left_out)]


def _left_out(sentences: Sequence[str]) -> Markup | None:
    """Note about runs and files that are left out."""
    if not sentences:
        return None
    summary = element("p", f"Runs or files of the study that are damaged or unfinished: {len(sentences)}.")
    return element("div", summary, element("ul", [element("li", sentence) for sentence in sentences]), class_="note")


def _study_sections(data: PageData) -> list[Section]:
    if not data.chosen:
        return []
    groups = data.groups
    by_family = marks(data.families or [""])
    family: Callable[[str], str] = data.family
    return [
        Section("scatter", "Scatter", "Scores of both tasks", scatter_plots(groups, by_family, family, title)),
        Section("correlations", "Correlations", "Agreement of the scores", correlations(groups, title)),
        Section("sensitivity", "Sensitivity", "Sensitivity to the choice of models", sensitivity(groups, title)),
        Section("ranks", "Ranks", "Changes of rank", rank_changes(groups, by_family, family, title)),
    ]


def _run_sections(data: PageData) -> list[Section]:
    """Return the sections about the runs of an experiment folder."""
    sections = []
    if data.perturbations:
        content = perturbations(data.perturbations, title)
        sections.append(Section("perturbations", "Perturbations", "Correlations of retrainings", content))
    if data.progress or data.selected:
        content = progress(data.progress, data.selected)
        sections.append(Section("progress", "Progress", "Scores during training", content))
    if data.audits:
        sections.append(Section("audit", "Audit", "Comparison of the trainings on both tasks", audits(data.audits)))
    if data.pictures:
        sections.append(Section("samples", "Samples", "Samples of the models", pictures(data.pictures)))
    return sections


def _footer(table: Table) -> Markup:
    """Footer with the table as an embedded CSV file."""
    file = io.StringIO()
    writer = csv.DictWriter(file, table.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.rows)
    address = (
        f"data:text/csv;charset=utf-8;base64,{base64.b64encode(file.getvalue().encode('utf-8', 'replace')).decode()}"
    )
    return element(
        "footer",
        element("p", element("a", "Table of this page as a CSV file", href=address, download="table.csv"), "."),
        element("p", "Made by ", element("code", "nanogen bench report"), ". The page loads no other files."),
    )
