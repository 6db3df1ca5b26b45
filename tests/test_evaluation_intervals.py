"""Bootstrap intervals against closed forms, SciPy and known distributions."""

import math

import pytest
import scipy.stats
import torch

from nanogen_eval.intervals import Resamples, expected, interval, mean_of, resample
from nanogen_fidelity.distances.frechet import frechet_distance, moments


class Column:
    """A metric whose score is a statistic of given numbers."""

    higher_is_better = True
    settings = {}

    def __init__(self, values, statistic=lambda rows: float(rows.mean())):
        self.values, self.statistic = values, statistic

    reset = update = compute = state = merge = None

    @property
    def units(self):
        return len(self.values)

    def resampled(self, units):
        return {"score": self.statistic(self.values[units])}


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def bounds(metric, draws, level=0.95):
    value = metric.resampled(torch.arange(metric.units))["score"]
    return interval(value, resample(metric, draws=draws)["score"], level)


@pytest.mark.parametrize("draws", [500, 2000])  # percentile, BCa
def test_the_interval_of_a_mean_is_two_standard_errors_on_each_side(draws):
    values = 3 + normal(900)
    found = bounds(Column(values), draws)
    error = float(values.std(correction=0)) / 30
    assert found.method == ("BCa" if draws == 2000 else "percentile")
    assert found.low == pytest.approx(float(values.mean()) - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(float(values.mean()) + 1.96 * error, abs=0.2 * error)
    assert (found.units, found.draws) == (900, draws)


def test_bca_of_a_skewed_statistic_agrees_with_scipy():
    values = normal(60)
    variance = Column(values, lambda rows: float(rows.var(correction=0)))
    found = bounds(variance, 6000)
    reference = scipy.stats.bootstrap(
        (values.numpy(),), lambda x, axis: x.var(axis=axis), n_resamples=6000, method="BCa", random_state=0
    ).confidence_interval
    assert found.method == "BCa"
    assert found.low == pytest.approx(reference.low, rel=0.03)
    assert found.high == pytest.approx(reference.high, rel=0.03)
    plain = torch.quantile(resample(variance, draws=6000)["score"].draws, torch.tensor([0.025, 0.975]).double())
    assert abs(found.high - reference.high) < abs(
        float(plain[1]) - reference.high
    )  # BCa is closer than the percentile interval


def test_the_interval_of_a_frechet_distance_contains_it_and_has_the_right_width():
    reference = moments(normal(5000, 8, seed=99))

    def distance(rows):
        return frechet_distance(moments(rows), reference)

    samples = [0.2 + normal(60, 8, seed=seed) for seed in range(40)]
    scores = torch.tensor([distance(rows) for rows in samples], dtype=torch.float64)
    found = [bounds(Column(rows, distance), 100) for rows in samples[:10]]
    for score, one in zip(scores[:10].tolist(), found, strict=True):
        assert one.method == "centred percentile"  # repeated examples increase the distance
        assert one.low < score < one.high
    widths = torch.tensor([one.high - one.low for one in found])
    assert float(widths.mean()) == pytest.approx(2 * 1.96 * float(scores.std()), rel=0.35)


def test_intervals_cover_the_true_value():
    held = 0
    for seed in range(200):
        found = bounds(Column(normal(50, seed=seed).exp()), 200)
        held += found.low <= math.exp(0.5) <= found.high
    assert 0.85 <= held / 200 <= 0.98  # coverage of a skewed mean of 50 is known to be below 0.95


def test_draws_are_reproducible_and_do_not_use_the_global_generator():
    before = torch.get_rng_state()
    first, second = (resample(Column(normal(20)), draws=30)["score"].draws for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_share_their_draws():
    """Two seeds with opposite errors: their mean is exact, so its interval has width 0."""
    noise = normal(50)
    both = [resample(Column(5 + sign * noise), draws=200)["score"] for sign in (1, -1)]
    found = interval(5.0, mean_of(both), 0.95)
    assert (found.low, found.high) == (pytest.approx(5.0), pytest.approx(5.0))


def test_a_metric_can_set_its_number_of_draws():
    metric = Column(normal(100))
    metric.interval_draws = 7
    assert len(resample(metric, draws=None)["score"].draws) == expected(metric, None) == 7
    assert expected(metric, 200) == 300  # plus 100 jackknife values
    assert resample(metric, draws=0) == {}
    assert expected(metric, 0) == 0


def test_every_resampling_is_reported():
    ticks = []
    metric = Column(normal(30))
    resample(metric, draws=40, tick=lambda: ticks.append(1))
    assert len(ticks) == expected(metric, 40) == 70


def test_nan_draws_are_ignored():
    draws = torch.tensor([1.0, float("nan"), 2.0, 3.0], dtype=torch.float64)
    assert interval(2.0, Resamples(3, draws, None), 0.5).draws == 3
    assert interval(2.0, Resamples(3, draws[:2], None), 0.5) is None


def test_equal_draws_give_an_interval_of_width_0():
    found = interval(1.0, Resamples(3, torch.ones(9, dtype=torch.float64), torch.ones(3).double()), 0.95)
    assert (found.low, found.high, found.method) == (1.0, 1.0, "percentile")


def test_one_unit_has_no_interval():
    assert resample(Column(normal(1)), draws=10) == {}
