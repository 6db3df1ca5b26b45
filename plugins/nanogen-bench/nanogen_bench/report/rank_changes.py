"""Which models change places between the tasks: two rankings side by side, and the widest changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nanogen_bench.correlation.results import Flip, Pair
from nanogen_bench.report import tables
from nanogen_bench.report.families import Mark
from nanogen_bench.report.groups import Group
from nanogen_bench.report.markup import Content, Markup, element, folded
from nanogen_bench.report.slopes import MOST, Ranked, slopes
from nanogen_bench.report.tables import Head

Label = Callable[[str], str]
Family = Callable[[str], str]


def rank_changes(groups: Sequence[Group], marks: Mapping[str, Mark], family: Family, label: Label) -> list[Content]:
    """The section's content: drawings of the first group, tables of all."""
    pairs = groups[0].pairs
    drawings = [_drawing(pair, marks, family, label) for pair in pairs if pair.n <= MOST]
    many = None if len(drawings) == len(pairs) else element("p", f"More than {MOST} models are not drawn.")
    widest = [
        folded(f"The widest changes among {group.short}", _table(group, label), open=group is groups[0])
        for group in groups
    ]
    return [
        element("ul", [_share(pair, label) for pair in pairs]),
        element("div", drawings, class_="charts"),
        many,
        widest,
    ]


def _share(pair: Pair, label: Label) -> Markup:
    found = pair.rank_changes
    return element(
        "li",
        f"{label(pair.x)} and {label(pair.y)} order {found.flipped} of {found.pairs} pairs of models in opposite ways"
        f" ({100 * found.share:.0f} %, n = {pair.n}).",
    )


def _drawing(pair: Pair, marks: Mapping[str, Mark], family: Family, label: Label) -> Markup:
    left = ranks([point.x for point in pair.points], lower=pair.x_better == "lower")
    right = ranks([point.y for point in pair.points], lower=pair.y_better == "lower")
    models = [
        Ranked(point.model, family(point.model), a, b) for point, a, b in zip(pair.points, left, right, strict=True)
    ]
    told = f"{pair.n} models, the best on top: by {label(pair.x)} on the left, by {label(pair.y)} on the right"
    drawing = slopes(models, marks, left=label(pair.x), right=label(pair.y), summary=told)
    return element("figure", drawing, element("figcaption", f"{told}."))


def ranks(values: Sequence[float], *, lower: bool) -> list[float]:
    """1 for the best; equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata(values if lower else [-value for value in values])]


def _table(group: Group, label: Label) -> Markup:
    heads = [Head(name, text=True) for name in ("Scores", "Better by the first", "Better by the second")]
    heads += [Head(name) for name in ("First score", "Second score", "Ranks apart, first", "Ranks apart, second")]
    rows = [_row(pair, flip, label) for pair in group.pairs for flip in pair.rank_changes.widest]
    return tables.table(heads, rows, caption="Pairs of models that the two scores order in opposite ways.")


def _row(pair: Pair, flip: Flip, label: Label) -> list[Content]:
    return [
        tables.name(f"{label(pair.x)} and {label(pair.y)}", f"n = {pair.n}"),
        tables.text(element("bdi", flip.better_by_x), long=True),
        tables.text(element("bdi", flip.better_by_y), long=True),
        element("td", f"{flip.x[0]:g} / {flip.x[1]:g}"),
        element("td", f"{flip.y[0]:g} / {flip.y[1]:g}"),
        element("td", f"{flip.ranks_x:g}"),
        element("td", f"{flip.ranks_y:g}"),
    ]
