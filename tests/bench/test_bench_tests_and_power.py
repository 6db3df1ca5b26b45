"""Fisher's intervals, Williams' test, power and the correction for range: published cases and simulations."""

import numpy as np
import pytest
from scipy import stats

from nanogen_bench.correlation.dependent import williams
from nanogen_bench.correlation.fisher import fisher
from nanogen_bench.correlation.power import detectable, needed, power, power_of
from nanogen_bench.correlation.ranges import range_view, thorndike


def test_williams_on_howells_example():
    """Howell, Statistical Methods for Psychology, 6th edition, page 262."""
    found = williams(0.80, 0.72, 0.89, 26)
    assert (found.t, found.degrees, found.p_value) == pytest.approx((1.361, 23, 0.187), abs=5e-4)


def test_williams_on_the_example_of_depcor():
    """Silver, Hittner and May 2006."""
    found = williams(0.3, 0.4, 0.5, 100)
    assert (found.t, found.p_value) == pytest.approx((-1.0767, 0.2843), abs=5e-5)


def test_williams_on_steigers_example():
    """Steiger 1980: masculinity and femininity with verbal ability, n = 103: t = 0.89, p = 0.37."""
    found = williams(0.5, 0.4, 0.1, 103)
    assert (found.t, found.p_value) == pytest.approx((0.89, 0.37), abs=6e-3)


def test_williams_is_wrong_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covariance = np.array([[1, 0.5, 0.5], [0.5, 1, 0.8], [0.5, 0.8, 1]])
    draws = rng.multivariate_normal(np.zeros(3), covariance, size=(1500, 21))
    r = [np.corrcoef(one.T) for one in draws]
    rejected = np.mean([williams(one[0, 1], one[0, 2], one[1, 2], 21).p_value < 0.05 for one in r])
    assert 0.03 < rejected < 0.07


def test_williams_of_one_column_twice():
    found = williams(0.5, 0.5, 1.0, 20)
    assert np.isnan(found.t)
    assert np.isnan(found.p_value)


def test_fishers_interval_is_scipys():
    x, y = np.random.default_rng(0).normal(size=(2, 21))
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    found = fisher("pearson", stats.pearsonr(x, y).statistic, 21)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("name", "of"), [("spearman", stats.spearmanr), ("kendall", stats.kendalltau)])
def test_intervals_of_ranks_cover_the_truth(name, of):
    r = 0.6
    truth = {"spearman": 6 / np.pi * np.arcsin(r / 2), "kendall": 2 / np.pi * np.arcsin(r)}[name]  # of two normals
    draws = np.random.default_rng(1).multivariate_normal([0, 0], [[1, r], [r, 1]], size=(400, 30))
    found = [fisher(name, of(*one.T).statistic, 30) for one in draws]
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.985


@pytest.mark.parametrize(("name", "estimate", "n"), [("pearson", 1.0, 9), ("spearman", -1.0, 9), ("kendall", 0.5, 4)])
def test_no_interval_where_the_theory_has_none(name, estimate, n):
    found = fisher(name, estimate, n)
    assert found.low is None
    assert found.reason


def test_power_on_a_published_table():
    """Hulley et al., Designing Clinical Research, appendix 6C: two-sided 5%, 80% power."""
    assert [needed(r) for r in (0.1, 0.2, 0.3, 0.4)] == [783, 194, 85, 47]


def test_power_agrees_with_a_simulation():
    r, n = 0.5, 21
    draws = np.random.default_rng(0).multivariate_normal([0, 0], [[1, r], [r, 1]], size=(4000, n))
    found = stats.pearsonr(draws[..., 0], draws[..., 1], axis=1).pvalue < 0.05
    assert power(r, n) == pytest.approx(found.mean(), abs=0.03)


def test_what_is_detectable_has_80_percent_power():
    for n in (5, 21, 300):
        assert power(detectable(n), n) == pytest.approx(0.8)
    assert detectable(21) == pytest.approx(
        np.tanh((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / np.sqrt(18)), abs=1e-4
    )
    assert power_of(21, "models").power == {"0.3": power(0.3, 21), "0.5": power(0.5, 21)}


@pytest.mark.parametrize("ratio", [0.4, 1.0, 2.5])
def test_thorndike_holds_on_a_straight_line_with_even_scatter(ratio):
    slope, spread, scatter = 0.7, 1.3, 2.0

    def r(spread):
        return slope * spread / np.hypot(slope * spread, scatter)

    assert thorndike(r(spread), ratio) == pytest.approx(r(ratio * spread))
    assert thorndike(-r(spread), ratio) == pytest.approx(-r(ratio * spread))


def test_the_range_view_brings_back_what_selection_took():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    y = -x + rng.normal(size=20_000)
    chosen = np.abs(x) < 0.7
    view = range_view((x[chosen], y[chosen]), (x, y), -1)
    assert view.agreement_all == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert view.corrected == pytest.approx(view.agreement_all, abs=0.02)
    assert view.expected == pytest.approx(-np.corrcoef(x[chosen], y[chosen])[0, 1], abs=0.02)
    assert (view.n, view.n_all) == (chosen.sum(), 20_000)
