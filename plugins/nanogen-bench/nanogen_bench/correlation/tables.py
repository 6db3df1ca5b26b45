"""Rendering of a study for the terminal. The tables are designed for 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nanogen_bench.correlation.groupings import number_of
from nanogen_bench.correlation.results import Difference, Interval, Pair, Statement, Study
from nanogen_bench.correlation.statements import probability, source, span

RANK_CHANGES = 3
COLUMNS = 3  # comparisons per table
COLOURS = {"supported": "green", "contradicted": "red", "open": "yellow"}


def rendered(study: Study) -> Iterator[RenderableType]:
    """Yield the output of `nanogen bench correlate`, from top to bottom."""
    yield _heading(study)
    for pair, sentence in zip(study.pairs, study.summary, strict=True):
        yield _title(f"{pair.x} and {pair.y}, n = {pair.n}")
        yield Text(sentence)
        yield _pair(pair)
        yield from map(Text, (*_left_out(pair), *_rank_changes(pair)))
    if study.differences:
        yield _title("Differences between agreements")
        for at in range(0, len(study.differences), COLUMNS):
            yield _differences(study.differences[at : at + COLUMNS])
    if any(pair.ranges for pair in study.pairs):
        yield _title("Range restriction")
        yield _ranges(study.pairs)
        yield Text(
            "The last column is the agreement corrected to the spread of the other set (Thorndike's case 2). It is "
            "exact only if models are chosen by x alone and the relation is linear with constant scatter."
        )
    yield _title("Statements")
    yield _statements(study.statements)
    yield from map(Text, study.cautions)


def _heading(study: Study) -> RenderableType:
    where = f" where {' and '.join(study.row_filters)}" if study.row_filters else ""
    directions = ", ".join(f"{column}: {direction} is better" for column, direction in study.directions.items())
    return Text(
        f"{study.source}: {study.n} of {study.n_all} models{where}. {directions}. An agreement is the raw coefficient "
        "after changing the sign of scores in which lower is better. Intervals: 95%, BCa with "
        f"{study.draws:,} draws, seed {study.seed}; p-values: two-sided, by permutation."
    )


def _pair(pair: Pair) -> Table:
    table = _table("", *(one.name.capitalize() for one in pair.coefficients))
    table.add_row(f"raw, n = {pair.n}", *(f"{one.raw:+.3f}" for one in pair.coefficients))
    table.add_row(f"agreement, n = {pair.n}", *(f"{one.agreement:+.3f}" for one in pair.coefficients))
    for at, first in enumerate(pair.coefficients[0].intervals):
        table.add_row(f"  {source(first)}", *(_span(one.intervals[at]) for one in pair.coefficients))
    table.add_row("p", *(_p(one.p_value) for one in pair.coefficients))
    table.add_row("p, Holm over the pairs", *(_p(one.p_holm) for one in pair.coefficients))
    return table


def _span(interval: Interval) -> str:
    return "none" if interval.low is None else span(interval)


def _left_out(pair: Pair) -> Iterator[str]:
    for view in pair.leave_one_out:
        one = view.most_influential[0]
        yield (
            f"Leaving out one of {number_of(view.units, view.over)}: agreement {view.low:+.3f} (without "
            f"{view.without_low}, n = {view.n_low}) to {view.high:+.3f} (without {view.without_high}, n = "
            f"{view.n_high}). {one.what} has the largest effect, {one.change:+.3f} ({one.scaled:+.1f} standard errors)."
        )


def _rank_changes(pair: Pair) -> Iterator[str]:
    found = pair.rank_changes
    widest = "; ".join(f"{one.better_by_x} and {one.better_by_y}" for one in found.widest[:RANK_CHANGES])
    yield (
        f"{found.discordant} of {found.pairs} pairs of models ({found.share:.0%}, ties excluded) have opposite order "
        f"in {pair.x} and {pair.y}. Largest rank differences (better by {pair.x} first): {widest or 'none'}."
    )


def _differences(differences: Sequence[Difference]) -> Table:
    """Table of at most `COLUMNS` comparisons, one per column."""
    table = _table("", *(f"{one.first}\n− {one.second}" for one in differences))
    table.add_row("n", *(str(one.n) for one in differences))
    table.add_row("agreement, difference", *(f"{one.difference:+.3f}" for one in differences))
    for at, first in enumerate(differences[0].intervals):
        if first.low is not None:
            table.add_row(f"  {source(first)}", *(_span(one.intervals[at]) for one in differences))
    table.add_row("Williams' t", *(f"{one.t:+.2f} ({one.degrees} df)" for one in differences))
    table.add_row("p, Holm", *(_p(one.p_holm) for one in differences))
    return table


def _ranges(pairs: Sequence[Pair]) -> Table:
    table = _table("", "n", "spread of x", "range of x", "agreement", "at the other's\nspread")
    for pair in pairs:
        view = pair.ranges
        if view is None:
            continue
        chosen = (view.n, view.spread, view.low, view.high, pair.agreement, view.corrected)
        everyone = (view.n_all, view.spread_all, view.low_all, view.high_all, view.agreement_all, view.expected)
        for which, (n, spread, low, high, agreement, moved) in (("chosen", chosen), ("all", everyone)):
            numbers = (f"{spread:.3g}", f"{low:g} to {high:g}", f"{agreement:+.3f}", f"{moved:+.3f}")
            table.add_row(f"{pair.y}, {which}", str(n), *numbers)
    return table


def _statements(statements: Sequence[Statement]) -> Table:
    """Table of statements. Equal reasons of consecutive statements are printed once, below the last one."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for statement, following in zip_longest(statements, statements[1:]):
        again = following is not None and following.because == statement.because
        body = Text.assemble(statement.text, "" if again else ("\n" + statement.because, "dim"))
        table.add_row(Text(statement.verdict, style=COLOURS[statement.verdict]), body)
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for at, header in enumerate(headers):
        table.add_column(header, justify="left" if at == 0 else "right")
    return table


def _title(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0))


def _p(p: float) -> str:
    return probability(p).removeprefix("p ").removeprefix("= ")
