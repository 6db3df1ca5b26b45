"""Section of conclusions: a tile for each pair of scores, statements with verdicts, notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nanogen_bench.correlation.results import Pair, Statement
from nanogen_bench.report.groups import Group
from nanogen_bench.report.markup import Content, Markup, element, folded
from nanogen_bench.report.tables import bounds, signed

MAX_UNFOLDED = 30  # longer lists of statements are folded
SIGNS = {"supported": "✓ Supported", "contradicted": "✗ Contradicted", "open": "? Open"}


def conclusions(groups: Sequence[Group], label: Callable[[str], str]) -> list[Content]:
    """Build the conclusions section: tiles, statements and notes of each group.

    Statements and notes are folded, except those of the first group. More than 30 statements are always folded.

    Args:
        groups: Groups of models.
        label: Function from column to title.
    """
    return [
        [_tiles(group, label) for group in groups],
        [_statements(group, open=group is groups[0] and len(group.statements) <= MAX_UNFOLDED) for group in groups],
        [_cautions(group, open=group is groups[0]) for group in groups],
    ]


def _tiles(group: Group, label: Callable[[str], str]) -> list[Markup]:
    tiles = [_tile(pair, summary, label) for pair, summary in zip(group.pairs, group.summaries, strict=True)]
    return [element("h3", f"Over {group.what}"), element("ul", tiles, class_="tiles")]


def _statements(group: Group, *, open: bool) -> Markup:
    statements = element("ul", [_statement(statement) for statement in group.statements], class_="statements")
    return folded(f"Statements about {group.short}, with verdicts", statements, open=open)


def _cautions(group: Group, *, open: bool) -> Markup:
    cautions = element("ul", [element("li", caution) for caution in group.cautions])
    return folded(f"Limits of the results for {group.short}", cautions, open=open)


def _tile(pair: Pair, summary: str, label: Callable[[str], str]) -> Markup:
    interval = bounds(pair.agreement_ci_low, pair.agreement_ci_high, 2)
    return element(
        "li",
        element("strong", f"{label(pair.x)} and {label(pair.y)}"),
        element("span", signed(pair.agreement, 3), class_="value"),
        element("span", f"agreement, 95 % {interval}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{pair.n}", class_="under"),
        element("span", f"raw Pearson r {signed(pair.pearson, 3)}", class_="under"),
        element("p", summary),
    )


def _statement(statement: Statement) -> Markup:
    verdict = element("span", SIGNS.get(statement.verdict, statement.verdict), class_="verdict")
    return element(
        "li", verdict, element("q", statement.text), element("small", statement.because), class_=statement.verdict
    )
