"""What a study of correlations found: plain values, of which `as_dict` makes JSON.

Two conventions hold throughout. *Raw* is the number that a statistics package would print for the two columns.
*Agreement* is the same number with both columns turned so that higher is better: +1 where the two scores rank models
alike, whatever their conventions are.
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
    """An interval for a coefficient, as raw numbers and as agreement; without numbers where there can be none."""

    method: str  # "bca": bootstrap, bias-corrected and accelerated; "fisher": from the normal theory
    over: str  # what was drawn: "models", or the name of a grouping such as "tokenizer"
    units: int  # how many of them there are
    low: float | None
    high: float | None
    agreement_low: float | None
    agreement_high: float | None
    level: float = 0.95
    reason: str | None = None  # why there is no interval


@frozen(kw_only=True)
class Coefficient:
    """One coefficient of one pair of columns."""

    name: str  # one of COEFFICIENTS
    raw: float
    agreement: float
    p_value: float  # two-sided, by permutation of the models
    p_holm: float  # corrected over the pairs of the study
    intervals: tuple[Interval, ...]

    def interval(self, over: str, method: str = "bca") -> Interval | None:
        """The interval over these units, if the study made one."""
        return next((i for i in self.intervals if (i.over, i.method) == (over, method)), None)


@frozen(kw_only=True)
class Point:
    """One model of a pair: a dot of its scatter plot."""

    model: str
    x: float
    y: float
    groups: Mapping[str, str]  # grouping -> the group that the model is in


@frozen(kw_only=True)
class LeftOut:
    """Pearson's agreement without one model, or without one group of models."""

    what: str  # the model or the group
    n: int  # models that remain
    agreement: float
    change: float  # with it minus without it
    scaled: float  # the change in jackknife standard errors, as DFBETAS scales by the standard error


@frozen(kw_only=True)
class LeaveOneOut:
    """The range of Pearson's agreement when one unit at a time is left out."""

    over: str  # "models", or the name of a grouping
    units: int
    low: float
    high: float
    without_low: str  # leaving out this unit gives the lowest agreement, over n_low models
    without_high: str
    n_low: int
    n_high: int
    most_influential: tuple[LeftOut, ...]  # by the size of the change, largest first
    reason: str | None = None  # units that could not be left out, and why


@frozen(kw_only=True)
class WithinGroup:
    """Pearson's agreement inside one group, where it has at least 4 models."""

    over: str  # the grouping
    group: str
    n: int
    agreement: float
    low: float | None  # Fisher's interval
    high: float | None


@frozen(kw_only=True)
class Flip:
    """Two models that the two columns rank in opposite orders."""

    better_by_x: str
    better_by_y: str
    x: tuple[float, float]  # of these two, in this order
    y: tuple[float, float]
    ranks_x: float  # how many ranks they are apart
    ranks_y: float


@frozen(kw_only=True)
class RankChanges:
    """How often two models change places between the columns."""

    pairs: int  # of models that neither column ties
    flipped: int
    share: float
    widest: tuple[Flip, ...]  # by the smaller of the two rank gaps, largest first


@frozen(kw_only=True)
class RangeView:
    """The chosen models against all in the file: a correlation falls with the spread of the models that enter it."""

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
    corrected: float  # agreement of the chosen ones, corrected to the spread of all (Thorndike's case 2)
    expected: float  # agreement of all, brought down to the spread of the chosen ones by the same formula


@frozen(kw_only=True)
class Pair:
    """One x against one y, over the models that have both."""

    x: str
    y: str
    n: int
    missing: tuple[str, ...]  # chosen models without one of the two numbers
    x_better: str  # "lower" or "higher"
    y_better: str
    pearson: float  # raw, as are the next five
    spearman: float
    kendall: float
    ci_low: float | None  # of Pearson's r: BCa over models
    ci_high: float | None
    p_value: float  # of Pearson's r, by permutation
    p_holm: float
    agreement: float  # Pearson's, both sides turned so that higher is better
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    coefficients: tuple[Coefficient, ...]
    leave_one_out: tuple[LeaveOneOut, ...]
    within_group: tuple[WithinGroup, ...]
    rank_changes: RankChanges
    ranges: RangeView | None  # absent where all models of the file were chosen
    points: tuple[Point, ...]

    def coefficient(self, name: str) -> Coefficient:
        return next(c for c in self.coefficients if c.name == name)

    def left_out(self, over: str) -> LeaveOneOut | None:
        return next((view for view in self.leave_one_out if view.over == over), None)


@frozen(kw_only=True)
class Difference:
    """Whether x agrees more with one y than with another, over the models that have all three."""

    x: str
    first: str
    second: str
    n: int
    agreement_first: float
    agreement_second: float
    between: float  # agreement of the two ys with each other
    difference: float  # first minus second
    t: float  # Williams' T2 (Steiger 1980, equation 7), n - 3 degrees of freedom
    degrees: int
    p_value: float
    p_holm: float
    intervals: tuple[Interval, ...]  # of the difference; its agreement_low and agreement_high


@frozen(kw_only=True)
class Power:
    """What a study of n independent models can see, by Fisher's z at a two-sided level of 5%."""

    n: int
    over: str  # "models", or the grouping whose groups are counted instead
    detectable: float  # |r| that is found with 80% power
    power: Mapping[str, float]  # true |r| -> the chance of finding it
    needed: Mapping[str, int]  # true |r| -> the n for 80% power


@frozen(kw_only=True)
class Statement:
    """A sentence, and what the numbers say to it."""

    text: str
    verdict: str  # "supported", "contradicted" or "open"
    because: str


@frozen(kw_only=True)
class Study:
    """Everything that `nanogen bench correlate` prints."""

    source: str
    row_filters: tuple[str, ...]
    n: int  # models chosen
    n_all: int  # models in the file
    draws: int
    seed: int
    level: float
    directions: Mapping[str, str]  # column -> "lower" or "higher"
    groupings: Mapping[str, Mapping[str, tuple[str, ...]]]  # grouping -> group -> its models
    pairs: tuple[Pair, ...]
    differences: tuple[Difference, ...]
    power: tuple[Power, ...]
    summary: tuple[str, ...]  # one sentence for each pair
    statements: tuple[Statement, ...]
    cautions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not finite becomes None."""
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
