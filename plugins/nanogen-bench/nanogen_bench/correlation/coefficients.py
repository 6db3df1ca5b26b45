"""Pearson's r, Spearman's rho and Kendall's tau-b of thousands of resamples at once.

A resample is a row of counts [n]: how often each model was drawn. So one function serves the bootstrap over models
(counts of models), over groups (counts of groups, spread to their models) and leaving out (zeros and ones).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CONSTANT = 1e-12  # of the variance of all: what rounding leaves of a column that is constant


class Resampled(Protocol):
    """A coefficient of fixed columns x and y [n]."""

    estimate: float

    def counted(self, counts: Floats) -> Floats:
        """[resamples, n] -> [resamples]; NaN where a side is constant."""

    def permuted(self, order: Integers) -> Floats:
        """The coefficient of `x[order]` and y: [permutations, n] -> [permutations]."""


class Pearson:
    """r = cov(x, y) / (sd(x) sd(y))."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.x, self.y = standard(x), standard(y)
        self.estimate = float(stats.pearsonr(x, y).statistic)

    def counted(self, counts: Floats) -> Floats:
        return weighted_correlation(counts, self.x, self.y)

    def permuted(self, order: Integers) -> Floats:
        products: Floats = self.x[order] @ self.y
        return products / len(self.x)


class Spearman:
    """Pearson's r of the ranks; ties share the mean of theirs. A resample is ranked anew."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.below_x, self.below_y = _below(x), _below(y)
        self.ranks = Pearson(stats.rankdata(x), stats.rankdata(y))
        self.estimate = float(stats.spearmanr(x, y).statistic)

    def counted(self, counts: Floats) -> Floats:
        middle = counts.sum(axis=-1, keepdims=True) / 2
        return weighted_correlation(counts, counts @ self.below_x - middle, counts @ self.below_y - middle)

    def permuted(self, order: Integers) -> Floats:
        return self.ranks.permuted(order)


class Kendall:
    """tau-b: pairs in the same order minus pairs in the opposite one, over the pairs that neither side ties."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.order_x, self.order_y = _order(x), _order(y)
        self.estimate = float(stats.kendalltau(x, y).statistic)

    def counted(self, counts: Floats) -> Floats:
        same, untied_x, untied_y = (
            ((counts @ signs) * counts).sum(axis=-1)
            for signs in (self.order_x * self.order_y, np.abs(self.order_x), np.abs(self.order_y))
        )
        return _ratio(same, untied_x * untied_y)

    def permuted(self, order: Integers) -> Floats:
        same = np.array([(self.order_x[np.ix_(row, row)] * self.order_y).sum() for row in order])
        return _ratio(same, np.abs(self.order_x).sum() * np.abs(self.order_y).sum())


RESAMPLED: dict[str, type[Pearson] | type[Spearman] | type[Kendall]] = {
    "pearson": Pearson,
    "spearman": Spearman,
    "kendall": Kendall,
}


def weighted_correlation(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's r with row weights: counts [resamples, n]; x and y [n] or [resamples, n], about standardised."""
    total = counts.sum(axis=-1, keepdims=True)
    x, y = (side - (counts * side).sum(axis=-1, keepdims=True) / total for side in (x, y))
    xy, xx, yy = ((counts * product).sum(axis=-1) / total[..., 0] for product in (x * y, x * x, y * y))
    squares: Floats = np.where((xx > CONSTANT) & (yy > CONSTANT), xx * yy, 0.0)
    return _ratio(xy, squares)


def standard(values: Floats) -> Floats:
    """With mean 0 and standard deviation 1."""
    standardised: Floats = (values - values.mean()) / values.std()
    return standardised


def _below(values: Floats) -> Floats:
    """[n, n]: 1 where row j lies below column i, 1/2 where it is level; a resample's mid-ranks are counts @ this."""
    return 0.5 + 0.5 * _order(values)


def _order(values: Floats) -> Floats:
    signs: Floats = np.sign(values[None, :] - values[:, None])
    return signs


def _ratio(product: Floats, squares: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(squares > 0, product / np.sqrt(squares), np.nan)
    return ratio
