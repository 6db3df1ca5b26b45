"""Coefficients of resamples, against SciPy on the resampled columns themselves."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nanogen_bench.correlation.coefficients import RESAMPLED
from nanogen_bench.correlation.groupings import MODELS, grouping
from nanogen_bench.correlation.resampling import bca, counted, holm, permutation_p

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
NAMES = list(RESAMPLED)


def columns(n, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 0.6 * x + rng.normal(size=n)
    return (np.round(x), np.round(y)) if ties else (x, y)


def models(n):
    return grouping(MODELS, [f"m{i}" for i in range(n)])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_counts_is_the_sample_with_repetitions(name, ties):
    x, y = columns(15, ties=ties)
    coefficient = RESAMPLED[name](x, y)
    counts = np.random.default_rng(1).multinomial(15, [1 / 15] * 15, size=40).astype(float)
    expected = [SCIPY[name](np.repeat(x, row.astype(int)), np.repeat(y, row.astype(int))).statistic for row in counts]
    np.testing.assert_allclose(coefficient.counted(counts), expected, atol=1e-12)
    assert coefficient.estimate == pytest.approx(SCIPY[name](x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_permuting_permutes_x(name, ties):
    x, y = columns(12, ties=ties)
    order = np.array([np.random.default_rng(i).permutation(12) for i in range(20)])
    expected = [SCIPY[name](x[row], y).statistic for row in order]
    np.testing.assert_allclose(RESAMPLED[name](x, y).permuted(order), expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_with_a_constant_side_has_no_coefficient(name):
    x, y = columns(6)
    counts = np.array([[6, 0, 0, 0, 0, 0], [3, 3, 0, 0, 0, 0]], dtype=float)
    found = RESAMPLED[name](x, y).counted(counts)
    assert np.isnan(found[0])
    assert abs(found[1]) == pytest.approx(1)


def test_counting():
    index = np.array([[0, 0, 2], [1, 2, 1]])
    np.testing.assert_array_equal(counted(index, 4), [[2, 0, 1, 0], [0, 2, 1, 0]])


def test_the_bootstrap_over_models_is_scipys_of_the_paired_columns():
    x, y = columns(21)
    direct = stats.bootstrap(
        (x, y),
        lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="BCa",
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = bca(RESAMPLED["pearson"](x, y).counted, models(21), draws=2000, seed=3)
    assert (found.low, found.high) == pytest.approx((direct.low, direct.high), abs=1e-9)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_copies_of_a_model_in_one_group_change_nothing(name):
    """The coefficients do not see that every row stands three times; drawing whole groups must not either."""
    x, y = columns(14)
    single = bca(RESAMPLED[name](x, y).counted, models(14), draws=1000, seed=0)
    tripled = RESAMPLED[name](np.repeat(x, 3), np.repeat(y, 3))
    grouped = bca(tripled.counted, grouping("copies", [str(i // 3) for i in range(42)]), draws=1000, seed=0)
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high), abs=1e-9)
    naive = bca(tripled.counted, models(42), draws=1000, seed=0)
    assert naive.high - naive.low < 0.8 * (single.high - single.low)  # what ignoring the copies would statement


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    true, inside, times = 0.5, 0, 200
    for seed in range(times):
        x, noise = rng.normal(size=(2, 21))
        y = true * x + np.sqrt(1 - true**2) * noise
        found = bca(RESAMPLED["pearson"](x, y).counted, models(21), draws=500, seed=seed)
        inside += found.low <= true <= found.high
    assert 0.88 <= inside / times <= 0.98  # BCa at n = 21 covers about 92%


@pytest.mark.parametrize("labels", [["a", "b", "c", "d"], ["a"] * 9 + ["b"]])
def test_a_handful_of_groups_gets_no_interval(labels):
    x, y = columns(len(labels))
    found = bca(RESAMPLED["pearson"](x, y).counted, grouping("family", labels), draws=100, seed=0)
    assert found.low is None
    assert found.high is None
    assert f"{len(set(labels))} families are too few" in found.reason


def test_a_single_group_is_too_few():
    x, y = columns(6)
    found = bca(RESAMPLED["pearson"](x, y).counted, grouping("tokenizer", ["a"] * 6), draws=100, seed=0)
    assert found.reason == "1 tokenizer is too few for a bootstrap"


def test_a_perfect_order_gets_no_interval_of_no_width():
    x = np.arange(10.0)
    found = bca(RESAMPLED["spearman"](x, x**3).counted, models(10), draws=200, seed=0)
    assert found.low is None
    assert "same value" in found.reason


@pytest.mark.parametrize("name", NAMES)
def test_the_p_value_of_a_small_study_is_exact(name):
    x, y = columns(6, seed=4)
    observed = SCIPY[name](x, y).statistic
    everyone = np.array([SCIPY[name](x[list(order)], y).statistic for order in itertools.permutations(range(6))])
    above, below = (everyone >= observed - 1e-12).mean(), (everyone <= observed + 1e-12).mean()
    found = permutation_p(RESAMPLED[name](x, y), 6, draws=10_000, seed=0)
    assert found == pytest.approx(min(1, 2 * min(above, below)))


def test_the_p_value_agrees_with_the_normal_theory_on_normal_columns():
    x, y = columns(21, seed=2)
    found = permutation_p(RESAMPLED["pearson"](x, y), 21, draws=10_000, seed=0)
    assert found == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.01)


def test_holm():
    """R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm([0.01, float("nan"), 0.04])
    assert corrected[::2] == pytest.approx([0.02, 0.04])
    assert np.isnan(corrected[1])
    assert holm([]) == []
    many = np.random.default_rng(0).uniform(size=30) ** 3
    assert holm(many) == pytest.approx(multipletests(many, method="holm")[1])
