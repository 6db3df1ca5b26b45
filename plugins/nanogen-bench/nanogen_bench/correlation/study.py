"""A study of correlations: every part of `nanogen bench correlate`, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import attrs

from nanogen_bench.correlation.differences import difference_of
from nanogen_bench.correlation.directions import directions
from nanogen_bench.correlation.groupings import Grouping, defaults, labels, plural
from nanogen_bench.correlation.pairs import pair_of
from nanogen_bench.correlation.plan import StudyPlan
from nanogen_bench.correlation.power import power_of
from nanogen_bench.correlation.resampling import FEWEST_UNITS, LEVEL, holm
from nanogen_bench.correlation.results import COEFFICIENTS, Difference, Pair, Power, Study
from nanogen_bench.correlation.row_filters import choose
from nanogen_bench.correlation.statements import cautions, difference_claim, pair_statements, summary
from nanogen_bench.correlation.table import Table
from nanogen_core.errors import ConfigError, DataError

MOST_MODELS = 500  # beyond, Kendall's tau of every resample takes minutes


def study(
    table: Table,
    *,
    x: str,
    ys: Sequence[str],
    where: Sequence[str] = (),
    said: Mapping[str, str] | None = None,
    clusters: Sequence[str] | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> Study:
    """How x goes together with each of ys over the models of a table.

    Args:
        where: conditions such as `"family!=pixel"`; all must hold.
        said: column -> "lower" or "higher", for columns whose name does not say which is better.
        clusters: what models are grouped by, beside the bootstrap over single models: columns, or "tokenizer".
            By default tokenizers and, where the table has the column, families.
        draws: resamples of each bootstrap, and permutations.

    Raises:
        DataError: a column is missing, is constant or holds text, or fewer than 4 models have both numbers.
        ConfigError: a direction is not known, a condition is none, or a column is asked for twice.
    """
    plan = _plan(table, (x, *ys), where, said or {}, clusters, draws, seed)
    pairs = _pairs_corrected([pair_of(plan, x, y) for y in ys])
    differences = _differences_corrected([difference_of(plan, x, *two) for two in combinations(ys, 2)])
    power = _power(plan, min(pairs, key=lambda pair: pair.n))
    return Study(
        source=table.source,
        row_filters=tuple(where),
        n=len(plan.chosen.rows),
        n_all=len(table.rows),
        draws=draws,
        seed=seed,
        level=LEVEL,
        directions=plan.directions,
        groupings={by.name: _members(by, plan.chosen.models) for by in plan.units(plan.chosen.models)[1:]},
        pairs=pairs,
        differences=differences,
        power=power,
        summary=tuple(map(summary, pairs)),
        statements=(
            *(statement for pair in pairs for statement in pair_statements(pair)),
            *map(difference_claim, differences),
        ),
        cautions=tuple(cautions(pairs, power)),
    )


def _plan(
    table: Table,
    columns: Sequence[str],
    where: Sequence[str],
    said: Mapping[str, str],
    clusters: Sequence[str] | None,
    draws: int,
    seed: int,
) -> StudyPlan:
    if len(columns) < 2:
        raise ConfigError("--y names no column.")
    for column in (*columns, *said):
        table.column(column)
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice:
        raise ConfigError(f"{twice} is asked for twice: name each column once, in --x or in --y.")
    chosen = choose(table, where)
    if len(chosen.rows) > MOST_MODELS:
        raise DataError(f"{len(chosen.rows):,} models are chosen and a study takes {MOST_MODELS:,}: add --where.")
    return StudyPlan(
        table=table,
        chosen=chosen,
        directions=directions(columns, said),
        groups={name: labels(name, table) for name in clusters or defaults(chosen)},
        draws=draws,
        seed=seed,
    )


def _pairs_corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """With the p-values of each coefficient corrected over the pairs."""
    by_name = {name: holm([pair.coefficient(name).p_value for pair in pairs]) for name in COEFFICIENTS}
    return tuple(
        attrs.evolve(
            pair,
            p_holm=by_name["pearson"][at],
            coefficients=tuple(attrs.evolve(one, p_holm=by_name[one.name][at]) for one in pair.coefficients),
        )
        for at, pair in enumerate(pairs)
    )


def _differences_corrected(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    corrected = holm([difference.p_value for difference in differences])
    return tuple(attrs.evolve(one, p_holm=p) for one, p in zip(differences, corrected, strict=True))


def _power(plan: StudyPlan, pair: Pair) -> tuple[Power, ...]:
    """With each model counted for one, and with each group where there are enough of them."""
    by_models, *others = plan.units([point.model for point in pair.points])
    enough = [by for by in others if len(by.groups) >= FEWEST_UNITS]
    return tuple(power_of(len(by.groups), plural(by.name)) for by in (by_models, *enough))


def _members(by: Grouping, models: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {
        group: tuple(model for model, at in zip(models, by.index, strict=True) if at == index)
        for index, group in enumerate(by.groups)
    }
