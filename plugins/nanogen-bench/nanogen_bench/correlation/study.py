"""Correlation study: one score of a task against scores of another task, over models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import attrs

from nanogen_bench.correlation.differences import difference_of
from nanogen_bench.correlation.directions import all_directions
from nanogen_bench.correlation.groupings import Grouping, defaults, labels, plural
from nanogen_bench.correlation.pairs import pair_of
from nanogen_bench.correlation.plan import StudyPlan
from nanogen_bench.correlation.power import power_of
from nanogen_bench.correlation.resampling import FEWEST_UNITS, LEVEL, holm
from nanogen_bench.correlation.results import COEFFICIENTS, Difference, Pair, Power, Study
from nanogen_bench.correlation.row_filters import choose
from nanogen_bench.correlation.statements import cautions, difference_statement, pair_statements, summary
from nanogen_bench.correlation.table import Table
from nanogen_core.errors import ConfigError, DataError

MAX_MODELS = 500  # resampling Kendall's tau takes minutes for more models


def study(
    table: Table,
    *,
    x: str,
    ys: Sequence[str],
    where: Sequence[str] = (),
    directions: Mapping[str, str] | None = None,
    clusters: Sequence[str] | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> Study:
    """Correlate x with each of ys over the models of a table.

    Args:
        table: One row per model.
        x: Column of the first score.
        ys: Columns of the other scores.
        where: Conditions on rows, such as `"family!=pixel"`. All must hold.
        directions: Column -> `"lower"` or `"higher"`, whichever is better. Needed for columns that `known_direction`
            does not know. Overrides it for others.
        clusters: Groupings for cluster bootstraps: columns, or `"tokenizer"`. Default: those of `groupings.defaults`.
        draws: Number of draws of each bootstrap, and maximum number of permutations.
        seed: Seed of draws and permutations.

    Raises:
        DataError: A column is missing, constant or not numeric. Or `where` selects no model, or more than 500. Or fewer
            than 4 models have all scores of a pair, or of a comparison (x and two of `ys`).
        ConfigError: A direction is unknown or invalid, a condition has the wrong form, a column is given twice, or `ys`
            is empty.
    """
    plan = _plan(table, (x, *ys), where, directions or {}, clusters, draws, seed)
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
            *map(difference_statement, differences),
        ),
        cautions=tuple(cautions(pairs, power)),
    )


def _plan(
    table: Table,
    columns: Sequence[str],
    where: Sequence[str],
    directions: Mapping[str, str],
    clusters: Sequence[str] | None,
    draws: int,
    seed: int,
) -> StudyPlan:
    if len(columns) < 2:
        raise ConfigError("--y is empty. Give at least one column.")
    for column in (*columns, *directions):
        table.column(column)
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice:
        raise ConfigError(f"The column {twice} is given twice: give each column once, in --x or in --y.")
    chosen = choose(table, where)
    if len(chosen.rows) > MAX_MODELS:
        raise DataError(
            f"{len(chosen.rows):,} models are chosen, but a study can use at most {MAX_MODELS:,}."
            " Choose fewer rows with --where."
        )
    return StudyPlan(
        table=table,
        chosen=chosen,
        directions=all_directions(columns, directions),
        groups={name: labels(name, table) for name in clusters or defaults(chosen)},
        draws=draws,
        seed=seed,
    )


def _pairs_corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Correct the p-values of each coefficient over the pairs."""
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
    """Power with models as units, and with the groups of each grouping that has enough groups."""
    by_models, *others = plan.units([point.model for point in pair.points])
    enough = [by for by in others if len(by.groups) >= FEWEST_UNITS]
    return tuple(power_of(len(by.groups), plural(by.name)) for by in (by_models, *enough))


def _members(by: Grouping, models: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {
        group: tuple(model for model, at in zip(models, by.index, strict=True) if at == index)
        for index, group in enumerate(by.groups)
    }
