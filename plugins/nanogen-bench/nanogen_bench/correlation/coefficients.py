"""Pearson's r, Spearman's rho and Kendall's tau-b, vectorized over resamples.

A resample is given as counts [n]: how often each of n models was drawn. Counts represent bootstraps over models or over
groups of models, and jackknives (counts of 0 and 1).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CONSTANT = 1e-12  # variance of a constant column after rounding, relative to that over all models


class Resampled(Protocol):
    """Correlation coefficient of two columns x and y [n]."""

    estimate: float

    def counted(self, counts: Floats) -> Floats:
        """Compute the coefficient of each resample.

        Args:
            counts: How often each resample contains each model [resamples, n].

        Returns:
            Coefficients [resamples]. NaN if a resampled column is constant.
        """

    def permuted(self, order: Integers) -> Floats:
        """Compute the coefficients [permutations] of `x[order]` and y, for orders [permutations, n]."""


class Pearson:
    """Pearson's r = cov(x, y) / (sd(x) sd(y))."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.x, self.y = standard(x), standard(y)
        self.estimate = float(stats.pearsonr(x, y).statistic)

    def counted(self, counts: Floats) -> Floats:
        return weighted_correlation(counts, self.x, self.y)

    def permuted(self, order: Integers) -> Floats:
        products: Floats = self.x[order] @ self.y
        return products / len(self.x)


class Spearman:
    """Spearman's rho: Pearson's r of the ranks. Ties share their mean rank. Every resample is ranked again."""

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
    """Kendall's tau-b = (concordant - discordant) / sqrt(pairs not tied in x * pairs not tied in y)."""

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
    """Compute Pearson's r with weights.

    Args:
        counts: Weights [resamples, n].
        x: Values [n] or [resamples, n]: standardized values, or ranks centred at 0.
        y: Values like x.

    Returns:
        Coefficients [resamples]. NaN if x or y is constant.
    """
    total = counts.sum(axis=-1, keepdims=True)
    x, y = (side - (counts * side).sum(axis=-1, keepdims=True) / total for side in (x, y))
    xy, xx, yy = ((counts * product).sum(axis=-1) / total[..., 0] for product in (x * y, x * x, y * y))
    squares: Floats = np.where((xx > CONSTANT) & (yy > CONSTANT), xx * yy, 0.0)
    return _ratio(xy, squares)


def standard(values: Floats) -> Floats:
    """Standardize values to mean 0 and standard deviation 1."""
    standardised: Floats = (values - values.mean()) / values.std()
    return standardised


def _below(values: Floats) -> Floats:
    """Matrix [n, n]: 1 if value j is below value i, 1/2 if equal. `counts @ matrix` gives mid-ranks of resamples."""
    return 0.5 + 0.5 * _order(values)


def _order(values: Floats) -> Floats:
    signs: Floats = np.sign(values[None, :] - values[:, None])
    return signs


def _ratio(product: Floats, squares: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(squares > 0, product / np.sqrt(squares), np.nan)
    return ratio
