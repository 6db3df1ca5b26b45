"""The whole document: its head, which lets nothing in from elsewhere, and its sections in the order of questions."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Sequence
from importlib.resources import files

from attrs import frozen

from nanogen_bench.correlation.table import Table
from nanogen_bench.report.against import against
from nanogen_bench.report.audits import audits
from nanogen_bench.report.columns import title
from nanogen_bench.report.conclusions import conclusions
from nanogen_bench.report.correlations import correlations
from nanogen_bench.report.families import marks
from nanogen_bench.report.leaderboard import leaderboard
from nanogen_bench.report.markup import Content, Markup, digest, element, raw
from nanogen_bench.report.pictures import pictures
from nanogen_bench.report.rank_changes import rank_changes
from nanogen_bench.report.sensitivity import sensitivity
from nanogen_bench.report.subject import Subject


@frozen
class Section:
    """One heading's worth. `short` is its name in the list of contents."""

    id: str
    short: str
    title: str
    content: Sequence[Content]


def page(subject: Subject) -> str:
    """The document as text: deterministic, without dates or paths."""
    style, script = _file("page.css"), _file("page.js")
    sections = _sections(subject)
    body = element(
        "body",
        element("a", "To the content", class_="skip", href="#content"),
        _header(subject, sections),
        element("main", [_section(section) for section in sections], id="content"),
        _footer(subject.table),
        raw("script", script),
    )
    document = element("html", _head(subject.title, style, script), body, lang="en")
    return f"<!doctype html>\n{document}\n"


def _file(name: str) -> str:
    return (files("nanogen_bench.report") / name).read_text(encoding="utf-8")


def _head(title: str, style: str, script: str) -> Markup:
    """The policy allows this style, this script and embedded pictures: nothing else loads, runs or is sent."""
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


def _header(subject: Subject, sections: Sequence[Section]) -> Markup:
    links = [element("li", element("a", section.short, href=f"#{section.id}")) for section in sections]
    nav = element(
        "nav",
        element("ul", links),
        element("button", "Dark page", type="button", class_="theme", hidden=True),
        aria_label="Contents",
    )
    about = [element("p", text) for text in subject.about]
    return element("header", element("h1", element("bdi", subject.title)), about, nav)


def _section(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.id}-title")
    return element("section", heading, section.content, id=section.id, aria_labelledby=f"{section.id}-title")


def _sections(subject: Subject) -> list[Section]:
    looks = marks(subject.families)
    conclusion = Section("conclusions", "Conclusions", "What can be concluded, and what cannot", _concluded(subject))
    board = Section("leaderboard", "Leaderboard", "Every model on both tasks", leaderboard(subject, looks))
    return [conclusion, board, *_studied(subject), *_seen(subject)]


def _concluded(subject: Subject) -> list[Content]:
    omitted = [element("p", sentence, class_="note") for sentence in subject.omitted]
    return [conclusions(subject.groups, title) if subject.chosen else None, omitted, _left_out(subject.left_out)]


def _left_out(sentences: Sequence[str]) -> Markup | None:
    """What is missing on this page."""
    if not sentences:
        return None
    told = element("p", f"{len(sentences)} runs or files of the study are damaged or unfinished:")
    return element("div", told, element("ul", [element("li", sentence) for sentence in sentences]), class_="note")


def _studied(subject: Subject) -> list[Section]:
    if not subject.chosen:
        return []
    compared = subject.groups
    looks = marks(subject.families or [""])
    family: Callable[[str], str] = subject.family
    return [
        Section("scatter", "Scatter", "One task against the other", against(compared, looks, family, title)),
        Section("correlations", "Correlations", "How well they agree", correlations(compared, title)),
        Section("sensitivity", "Sensitivity", "What the figures hang on", sensitivity(compared, title)),
        Section("ranks", "Ranks", "Who changes places", rank_changes(compared, looks, family, title)),
    ]


def _seen(subject: Subject) -> list[Section]:
    """What lies beside the table, where it does."""
    sections = []
    if subject.audits:
        sections.append(Section("audit", "Audit", "Whether both tasks were trained alike", audits(subject.audits)))
    if subject.pictures:
        sections.append(Section("samples", "Samples", "What the models draw", pictures(subject.pictures)))
    return sections


def _footer(table: Table) -> Markup:
    """The numbers themselves travel with the page."""
    file = io.StringIO()
    writer = csv.DictWriter(file, table.columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.rows)
    address = (
        f"data:text/csv;charset=utf-8;base64,{base64.b64encode(file.getvalue().encode('utf-8', 'replace')).decode()}"
    )
    return element(
        "footer",
        element("p", element("a", "The table of this page as a CSV file", href=address, download="table.csv"), "."),
        element("p", "Made by ", element("code", "nanogen bench report"), ". The page loads nothing from elsewhere."),
    )
