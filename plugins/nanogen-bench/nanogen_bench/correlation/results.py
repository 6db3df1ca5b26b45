"""Results of a correlation study. `Study.as_dict` converts them to JSON values.

*Raw* numbers are coefficients of the two columns as they are. An *agreement* is the same coefficient after changing the
sign of columns in which lower is better. It is positive if models with better x tend to have better y. Spearman's and
Kendall's are +1 if both scores rank models in the same order; Pearson's is +1 only for a linear relation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

COEFFICIENTS = ("pearson", "spearman", "kendall")


@frozen(kw_only=True)
class Interval:
    """Confidence interval of a coefficient, raw and as agreement. Its bounds are None if it cannot be computed.

    For a difference of two agreements, `low` and `high` equal `agreement_low` and `agreement_high`.
    """

    method: str  # "bca": bias-corrected and accelerated bootstrap; "fisher": Fisher's z
    over: str  # units of resampling: "models", or the name of a grouping such as "tokenizer"
    units: int  # number of units
    low: float | None
    high: float | None
    agreement_low: float | None
    agreement_high: float | None
    level: float = 0.95
    reason: str | None = None  # why there is no interval


@frozen(kw_only=True)
class Coefficient:
    """Correlation coefficient of two columns."""

    name: str  # one of COEFFICIENTS
    raw: float
    agreement: float
    p_value: float  # two-sided permutation test
    p_holm: float  # p_value corrected over the pairs of the study
    intervals: tuple[Interval, ...]

    def interval(self, over: str, method: str = "bca") -> Interval | None:
        """Return the interval with these values of `over` and `method`; None if the study has none."""
        return next((i for i in self.intervals if (i.over, i.method) == (over, method)), None)


@frozen(kw_only=True)
class Point:
    """Scores of one model in the two columns of a pair."""

    model: str
    x: float
    y: float
    groups: Mapping[str, str]  # grouping -> group of the model


@frozen(kw_only=True)
class LeftOut:
    """Pearson's agreement without one unit."""

    what: str  # model or group that is left out
    n: int  # number of remaining models
    agreement: float
    change: float  # agreement with the unit minus agreement without it
    scaled: float  # change in jackknife standard errors


@frozen(kw_only=True)
class LeaveOneOut:
    """Range of Pearson's agreement when each unit in turn is left out."""

    over: str  # "models", or the name of a grouping
    units: int  # number of units
    low: float  # lowest agreement
    high: float  # highest agreement
    without_low: str  # unit without which the agreement is lowest
    without_high: str
    n_low: int  # number of models without that unit
    n_high: int
    most_influential: tuple[LeftOut, ...]  # units with the largest changes, in order
    reason: str | None = None  # units that cannot be left out


@frozen(kw_only=True)
class WithinGroup:
    """Pearson's agreement inside one group of at least 4 models."""

    over: str  # name of the grouping
    group: str
    n: int
    agreement: float
    low: float | None  # 95% interval by Fisher's z
    high: float | None


@frozen(kw_only=True)
class DiscordantPair:
    """Two models that two columns rank in opposite order."""

    better_by_x: str
    better_by_y: str
    x: tuple[float, float]  # x of better_by_x, then of better_by_y
    y: tuple[float, float]
    ranks_x: float  # difference of their ranks by x
    ranks_y: float


@frozen(kw_only=True)
class RankChanges:
    """Discordant pairs of models between two columns: their number, and those with the largest rank differences."""

    pairs: int  # pairs without ties
    discordant: int
    share: float  # discordant / pairs
    widest: tuple[DiscordantPair, ...]  # pairs with the largest rank differences, in order


@frozen(kw_only=True)
class RangeView:
    """Range restriction: correlations of the chosen models and of all models, and the spread of x in both sets."""

    n: int
    n_all: int
    spread: float  # standard deviation of x over the chosen models
    spread_all: float
    low: float
    high: float
    low_all: float
    high_all: float
    pearson_all: float  # raw
    agreement_all: float
    corrected: float  # agreement of the chosen models, corrected to the spread of all (Thorndike's case 2)
    expected: float  # agreement of all models, corrected to the spread of the chosen ones


@frozen(kw_only=True)
class Pair:
    """Analysis of one x and one y, over the models that have both."""

    x: str
    y: str
    n: int
    missing: tuple[str, ...]  # chosen models that lack a score
    x_better: str  # "lower" or "higher"
    y_better: str
    pearson: float  # raw coefficients
    spearman: float
    kendall: float
    ci_low: float | None  # raw BCa interval of Pearson's r over models
    ci_high: float | None
    p_value: float  # permutation p-value of Pearson's r
    p_holm: float
    agreement: float  # Pearson's agreement
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    coefficients: tuple[Coefficient, ...]
    leave_one_out: tuple[LeaveOneOut, ...]
    within_group: tuple[WithinGroup, ...]
    rank_changes: RankChanges
    ranges: RangeView | None  # None if all models of the file are chosen
    points: tuple[Point, ...]

    def coefficient(self, name: str) -> Coefficient:
        """Return the coefficient called `name`, one of `COEFFICIENTS`."""
        return next(c for c in self.coefficients if c.name == name)

    def left_out(self, over: str) -> LeaveOneOut | None:
        """Return the leave-one-out analysis over the given units, or None if there is none."""
        return next((view for view in self.leave_one_out if view.over == over), None)


@frozen(kw_only=True)
class Difference:
    """Comparison of two agreements, of x with `first` and of x with `second`, over models with all three scores."""

    x: str
    first: str
    second: str
    n: int
    agreement_first: float
    agreement_second: float
    between: float  # agreement of `first` with `second`
    difference: float  # agreement_first - agreement_second
    t: float  # Williams' T2 (Steiger 1980, equation 7)
    degrees: int  # degrees of freedom, n - 3
    p_value: float
    p_holm: float  # p_value corrected over the comparisons of the study
    intervals: tuple[Interval, ...]  # intervals of the difference


@frozen(kw_only=True)
class Power:
    """Power of a two-sided test for correlation at level 5%, over n independent units, by Fisher's z."""

    n: int
    over: str  # what the units are: "models", "tokenizers", ...
    detectable: float  # |r| that is detected with 80% power
    power: Mapping[str, float]  # true |r| -> power
    needed: Mapping[str, int]  # true |r| -> n for 80% power


@frozen(kw_only=True)
class Statement:
    """A sentence, the verdict of the study on it, and the numbers behind the verdict."""

    text: str
    verdict: str  # "supported", "contradicted" or "open"
    because: str


@frozen(kw_only=True)
class Study:
    """All results of `nanogen bench correlate`."""

    source: str
    row_filters: tuple[str, ...]
    n: int  # number of chosen models
    n_all: int  # number of models in the file
    draws: int
    seed: int
    level: float
    directions: Mapping[str, str]  # column -> "lower" or "higher"
    groupings: Mapping[str, Mapping[str, tuple[str, ...]]]  # grouping -> group -> models
    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...]
    power: tuple[Power, ...]
    summary: tuple[str, ...]  # one text per pair
    statements: tuple[Statement, ...]
    cautions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the results as JSON values. Numbers that are not finite become None."""
        plain: dict[str, Any] = _plain(attrs.asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
