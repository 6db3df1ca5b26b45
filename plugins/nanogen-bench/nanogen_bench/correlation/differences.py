"""Comparison of two agreements (see `results`) that share x."""

from __future__ import annotations

from nanogen_bench.correlation.coefficients import Floats, Pearson
from nanogen_bench.correlation.dependent import williams
from nanogen_bench.correlation.plan import StudyPlan
from nanogen_bench.correlation.results import Difference


def difference_of(plan: StudyPlan, x: str, first: str, second: str) -> Difference:
    """Compare two agreements, of x with `first` and of x with `second`, over models that have all three scores.

    `p_holm` of the result is not yet corrected. `study` corrects it over all comparisons.
    """
    models, columns = plan.columns(x, first, second)
    up, one, two = (plan.sign(name) * side for name, side in zip((x, first, second), columns, strict=True))
    with_first, with_second, between = Pearson(up, one), Pearson(up, two), Pearson(one, two)

    def difference(counts: Floats) -> Floats:
        return with_first.counted(counts) - with_second.counted(counts)

    test = williams(with_first.estimate, with_second.estimate, between.estimate, len(models))
    return Difference(
        x=x,
        first=first,
        second=second,
        n=len(models),
        agreement_first=with_first.estimate,
        agreement_second=with_second.estimate,
        between=between.estimate,
        difference=with_first.estimate - with_second.estimate,
        t=test.t,
        degrees=test.degrees,
        p_value=test.p_value,
        p_holm=test.p_value,
        intervals=tuple(plan.bootstrapped(difference, plan.units(models), 1)),
    )
