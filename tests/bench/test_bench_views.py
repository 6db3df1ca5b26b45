"""Leaving out, groups, rank flips: against loops over the models."""

import itertools

import numpy as np
import pytest
from scipy import stats

from nanogen_bench.correlation.coefficients import Pearson
from nanogen_bench.correlation.groupings import MODELS, base_tokenizer, grouping
from nanogen_bench.correlation.influence import leave_one_out
from nanogen_bench.correlation.rank_changes import rank_changes
from nanogen_bench.correlation.within_group import within_groups

FAMILIES = list("aaaabbbbbccdee")
N = len(FAMILIES)
NAMES = [f"m{i}" for i in range(N)]


@pytest.fixture
def xy():
    return np.random.default_rng(5).normal(size=(2, N))


@pytest.mark.parametrize(("name", "labels"), [(MODELS, NAMES), ("family", FAMILIES)])
@pytest.mark.parametrize("turn", [1, -1])
def test_leaving_out_each_unit(xy, name, labels, turn):
    x, y = xy
    groups = list(dict.fromkeys(labels))
    keep = {group: np.array([label != group for label in labels]) for group in groups}
    without = {group: turn * stats.pearsonr(x[rows], y[rows]).statistic for group, rows in keep.items()}
    view = leave_one_out(Pearson(x, y), grouping(name, labels), turn)
    assert (view.low, view.high) == pytest.approx((min(without.values()), max(without.values())))
    assert (view.without_low, view.without_high) == (min(without, key=without.get), max(without, key=without.get))
    assert (view.n_low, view.n_high) == (keep[view.without_low].sum(), keep[view.without_high].sum())

    full = turn * stats.pearsonr(x, y).statistic
    values = np.array(list(without.values()))
    error = np.sqrt((len(values) - 1) * np.mean((values - values.mean()) ** 2))
    expected = sorted(groups, key=lambda group: -abs(full - without[group]))[:3]
    assert [one.what for one in view.most_influential] == expected
    for one in view.most_influential:
        assert one.change == pytest.approx(full - without[one.what])
        assert one.scaled == pytest.approx(one.change / error)
        assert one.n == keep[one.what].sum()


def test_an_outlier_is_the_most_influential():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20))
    x[7], y[7] = 8, 8
    view = leave_one_out(Pearson(x, y), grouping(MODELS, [f"m{i}" for i in range(20)]), 1)
    assert view.most_influential[0].what == view.without_low == "m7"


def test_what_cannot_be_left_out_is_said(xy):
    labels = ["a"] * (N - 2) + ["b"] * 2
    view = leave_one_out(Pearson(*xy), grouping("family", labels), 1)
    assert view.reason == "not left out: a. Too few models or a constant column would remain"
    assert leave_one_out(Pearson(*xy), grouping("family", ["a"] * N), 1) is None


def test_inside_each_group_of_four_or_more(xy):
    x, y = xy
    found = {one.group: one for one in within_groups(Pearson(x, y), grouping("family", FAMILIES), -1)}
    assert set(found) == {"a", "b"}
    rows = np.array(FAMILIES) == "b"
    expected = stats.pearsonr(x[rows], y[rows])
    assert found["b"].agreement == pytest.approx(-expected.statistic)
    assert found["b"].n == 5
    low, high = expected.confidence_interval(0.95)
    assert (found["b"].low, found["b"].high) == pytest.approx((-high, -low))


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (-1, -1)])
def test_flips_are_counted_pair_by_pair(signs):
    x, y = np.random.default_rng(1).integers(0, 8, size=(2, N)).astype(float)  # with ties
    products = [(signs[0] * (x[i] - x[j])) * (signs[1] * (y[i] - y[j])) for i, j in itertools.combinations(range(N), 2)]
    found = rank_changes(NAMES, x, y, signs)
    assert found.pairs == sum(product != 0 for product in products)
    assert found.discordant == sum(product < 0 for product in products)
    for flip in found.widest:
        i, j = NAMES.index(flip.better_by_x), NAMES.index(flip.better_by_y)
        assert signs[0] * x[i] > signs[0] * x[j]
        assert signs[1] * y[j] > signs[1] * y[i]
        assert (flip.x, flip.y) == ((x[i], x[j]), (y[i], y[j]))
    widths = [min(flip.ranks_x, flip.ranks_y) for flip in found.widest]
    assert widths == sorted(widths, reverse=True)


def test_the_share_of_flips_is_kendalls_tau(xy):
    found = rank_changes(NAMES, *xy, (1, 1))
    assert 1 - 2 * found.share == pytest.approx(stats.kendalltau(*xy).statistic)


def test_the_widest_flip_is_the_widest():
    x = np.arange(10.0)
    y = x.copy()
    y[0], y[9] = 9, 0
    flip = rank_changes([f"m{i}" for i in range(10)], x, y, (1, 1)).widest[0]
    assert (flip.better_by_x, flip.better_by_y, flip.ranks_x, flip.ranks_y) == ("m9", "m0", 9, 9)


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("DINOv2-B + REG", "DINOv2-B"),
        ("DINOv3-B", "DINOv3-B"),
        ("E2E-FLUX.1-VAE", "FLUX.1-VAE"),
        ("FLUX.2-VAE + REG", "FLUX.2-VAE"),
        ("SD-VAE-EMA + REG", "SD-VAE"),
        ("SD-VAE-MSE", "SD-VAE"),
        ("SpatialPE-L", "PE-L"),
        ("MeanFlow (NFE=2)", "MeanFlow"),
        ("JiT", "JiT"),
    ],
)
def test_variants_of_one_tokenizer(model, base):
    assert base_tokenizer(model) == base
