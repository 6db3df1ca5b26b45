"""Section of rank changes: slope charts of two rankings, and tables of discordant pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nanogen_bench.correlation.results import DiscordantPair, Pair
from nanogen_bench.report import tables
from nanogen_bench.report.families import Mark
from nanogen_bench.report.groups import Group
from nanogen_bench.report.markup import Content, Markup, element, folded
from nanogen_bench.report.slopes import MAX_MODELS, Ranked, slopes
from nanogen_bench.report.tables import Head

Label = Callable[[str], str]
Family = Callable[[str], str]


def rank_changes(groups: Sequence[Group], marks: Mapping[str, Mark], family: Family, label: Label) -> list[Content]:
    """Build the section of rank changes: charts of the first group, tables of all groups.

    Args:
        groups: Groups of models.
        marks: Mark of each family.
        family: Function from model to family.
        label: Function from column to title.
    """
    pairs = groups[0].pairs
    charts = [_chart(pair, marks, family, label) for pair in pairs if pair.n <= MAX_MODELS]
    note = None if len(charts) == len(pairs) else element("p", f"No chart is drawn for more than {MAX_MODELS} models.")
    widest = [
        folded(f"Largest changes of rank among {group.short}", _table(group, label), open=group is groups[0])
        for group in groups
    ]
    return [
        element("ul", [_share(pair, label) for pair in pairs]),
        element("div", charts, class_="charts"),
        note,
        widest,
    ]


def _share(pair: Pair, label: Label) -> Markup:
    found = pair.rank_changes
    return element(
        "li",
        f"{label(pair.x)} and {label(pair.y)} rank {found.discordant} of {found.pairs} pairs of models in opposite"
        f" order ({100 * found.share:.0f} %, n = {pair.n}).",
    )


def _chart(pair: Pair, marks: Mapping[str, Mark], family: Family, label: Label) -> Markup:
    left = ranks([point.x for point in pair.points], lower=pair.x_better == "lower")
    right = ranks([point.y for point in pair.points], lower=pair.y_better == "lower")
    models = [
        Ranked(point.model, family(point.model), a, b) for point, a, b in zip(pair.points, left, right, strict=True)
    ]
    summary = f"Ranks of {pair.n} models (best on top) by {label(pair.x)} (left) and {label(pair.y)} (right)"
    chart = slopes(models, marks, left=label(pair.x), right=label(pair.y), summary=summary)
    return element("figure", chart, element("figcaption", f"{summary}."))


def ranks(values: Sequence[float], *, lower: bool) -> list[float]:
    """Return ranks, 1 for the best value. Equal values share their mean rank.

    Args:
        lower: Whether lower values are better.
    """
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata(values if lower else [-value for value in values])]


def _table(group: Group, label: Label) -> Markup:
    heads = [Head(name, text=True) for name in ("Scores", "Better by the first", "Better by the second")]
    heads += [
        Head(name) for name in ("First score", "Second score", "Rank difference, first", "Rank difference, second")
    ]
    rows = [_row(pair, models, label) for pair in group.pairs for models in pair.rank_changes.widest]
    return tables.table(heads, rows, caption="Pairs of models that the two scores rank in opposite order.")


def _row(pair: Pair, models: DiscordantPair, label: Label) -> list[Content]:
    return [
        tables.name(f"{label(pair.x)} and {label(pair.y)}", f"n = {pair.n}"),
        tables.text(element("bdi", models.better_by_x), long=True),
        tables.text(element("bdi", models.better_by_y), long=True),
        element("td", f"{models.x[0]:g} / {models.x[1]:g}"),
        element("td", f"{models.y[0]:g} / {models.y[1]:g}"),
        element("td", f"{models.ranks_x:g}"),
        element("td", f"{models.ranks_y:g}"),
    ]
