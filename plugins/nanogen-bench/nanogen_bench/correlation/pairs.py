"""Analysis of one pair of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nanogen_bench.correlation.coefficients import RESAMPLED, Floats, Resampled
from nanogen_bench.correlation.fisher import fisher
from nanogen_bench.correlation.groupings import Grouping
from nanogen_bench.correlation.influence import leave_one_out
from nanogen_bench.correlation.plan import StudyPlan, complete, interval
from nanogen_bench.correlation.ranges import range_view
from nanogen_bench.correlation.rank_changes import rank_changes
from nanogen_bench.correlation.resampling import permutation_p
from nanogen_bench.correlation.results import Coefficient, Pair, Point, RangeView
from nanogen_bench.correlation.within_group import within_groups


def pair_of(plan: StudyPlan, x: str, y: str) -> Pair:
    """Analyse one x and one y over the models that have both.

    `p_holm` of the result is not yet corrected. `study` corrects it over all pairs.
    """
    models, (xs, ys) = plan.columns(x, y)
    sign = plan.sign(x) * plan.sign(y)
    units = plan.units(models)
    resampled: Mapping[str, Resampled] = {name: kind(xs, ys) for name, kind in RESAMPLED.items()}
    coefficients = {name: _coefficient(plan, name, one, units, sign) for name, one in resampled.items()}
    pearson, over_models = coefficients["pearson"], coefficients["pearson"].intervals[0]
    views = [leave_one_out(resampled["pearson"], by, sign) for by in units]
    return Pair(
        x=x,
        y=y,
        n=len(models),
        missing=tuple(model for model in plan.chosen.models if model not in models),
        x_better=plan.directions[x],
        y_better=plan.directions[y],
        **{name: one.raw for name, one in coefficients.items()},
        ci_low=over_models.low,
        ci_high=over_models.high,
        p_value=pearson.p_value,
        p_holm=pearson.p_holm,
        agreement=pearson.agreement,
        agreement_ci_low=over_models.agreement_low,
        agreement_ci_high=over_models.agreement_high,
        coefficients=tuple(coefficients.values()),
        leave_one_out=tuple(view for view in views if view is not None),
        within_group=tuple(one for by in units[1:] for one in within_groups(resampled["pearson"], by, sign)),
        rank_changes=rank_changes(models, xs, ys, (plan.sign(x), plan.sign(y))),
        ranges=_ranges(plan, x, y, (xs, ys), sign),
        points=tuple(_points(plan, models, xs, ys)),
    )


def _coefficient(plan: StudyPlan, name: str, one: Resampled, units: Sequence[Grouping], sign: int) -> Coefficient:
    models = units[0]
    n = len(models.groups)
    p_value = permutation_p(one, n, draws=plan.draws, seed=plan.seed)
    return Coefficient(
        name=name,
        raw=one.estimate,
        agreement=sign * one.estimate,
        p_value=p_value,
        p_holm=p_value,
        intervals=(
            *plan.bootstrapped(one.counted, units, sign),
            interval("fisher", models, fisher(name, one.estimate, n), sign),
        ),
    )


def _ranges(plan: StudyPlan, x: str, y: str, chosen: tuple[Floats, Floats], sign: int) -> RangeView | None:
    if len(plan.chosen.rows) == len(plan.table.rows):
        return None
    _, (xs, ys) = complete(plan.table, x, y)
    return range_view(chosen, (xs, ys), sign)


def _points(plan: StudyPlan, models: Sequence[str], xs: Floats, ys: Floats) -> list[Point]:
    return [
        Point(model=model, x=float(a), y=float(b), groups={name: by[model] for name, by in plan.groups.items()})
        for model, a, b in zip(models, xs, ys, strict=True)
    ]
