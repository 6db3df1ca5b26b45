"""Formulas of image scores against independent derivations and other libraries."""

import math
import warnings
from itertools import product

import numpy as np
import pytest
import torch

from nanogen_core.errors import DataError
from nanogen_fidelity.distances.extrapolation import extrapolated_distance
from nanogen_fidelity.distances.frechet import Moments, frechet_distance, moments, small_sample
from nanogen_fidelity.distances.inception_score import (
    adm_inception_score,
    diffusionbench_inception_score,
    fidelity_inception_score,
)
from nanogen_fidelity.distances.kid import kid, subset_kid
from nanogen_fidelity.distances.mind import mind
from nanogen_fidelity.distances.moments import RunningMoments
from nanogen_fidelity.distances.neighbours import density_coverage, precision_recall
from nanogen_fidelity.distances.psnr_ssim import psnr, published_unit_range, ssim, unit_range


def drawn(*shape, seed=0, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale + shift


def correlated(count, width, seed):
    """Features whose spectrum spans six decades, like that of real features."""
    turn = torch.linalg.qr(drawn(width, width, seed=seed + 100)).Q
    return drawn(count, width, seed=seed) @ (torch.logspace(0, -3, width, dtype=torch.float64)[:, None] * turn)


# -- the Fréchet distance ----------------------------------------------------------------------------------------------


def from_data(x, y):
    """Fréchet distance without covariances: the trace of the root is a nuclear norm of the centred data."""
    a, b = x - x.mean(0), y - y.mean(0)
    spread = a.square().sum() / (len(x) - 1) + b.square().sum() / (len(y) - 1)
    mixed = torch.linalg.matrix_norm(a @ b.T, "nuc") / math.sqrt((len(x) - 1) * (len(y) - 1))
    return float((x.mean(0) - y.mean(0)).square().sum() + spread - 2 * mixed)


@pytest.mark.parametrize(("n", "m", "width"), [(200, 150, 20), (30, 40, 64), (30, 200, 64), (200, 30, 64), (2, 3, 40)])
def test_the_distance_equals_a_derivation_without_covariances(n, m, width):
    x, y = correlated(n, width, seed=1), correlated(m, width, seed=2) + 0.01
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(from_data(x, y), rel=1e-6)


def test_the_distance_equals_that_with_scipys_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = moments(correlated(500, 48, seed=3)), moments(correlated(400, 48, seed=4) + 0.1)
    root = linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy())
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * np.trace(root.real)
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_the_distance_equals_that_of_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid")
    a, b = moments(correlated(700, 96, seed=5)), moments(correlated(800, 96, seed=6) * 1.1)
    expected = fid._compute_fid(a.mean, a.covariance, b.mean, b.covariance)
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_the_distance_of_equal_and_of_constant_features():
    singular = moments(correlated(10, 64, seed=7))
    assert frechet_distance(singular, singular) == pytest.approx(0, abs=1e-12)
    point = Moments(torch.ones(3).double(), torch.zeros(3, 3).double())
    other = Moments(torch.zeros(3).double(), torch.eye(3).double())
    assert frechet_distance(point, other) == frechet_distance(other, point) == pytest.approx(6)
    assert frechet_distance(point, point) == 0


def test_covariances_written_in_float32_are_covariances():
    a = moments(correlated(500, 64, seed=8))
    rounded = Moments(a.mean.float().double(), a.covariance.float().double())
    assert frechet_distance(rounded, a) == pytest.approx(0, abs=1e-5)


GOOD = Moments(torch.zeros(2).double(), torch.eye(2).double())


@pytest.mark.parametrize(
    ("covariance", "sentence"),
    [
        ([[1.0, 0.0], [0.0, -0.01]], "eigenvalue -0.01"),
        ([[-1.0, 0.0], [0.0, -1.0]], "negative"),
        ([[1.0, 0.5], [0.0, 1.0]], "not symmetric"),
        ([[1.0, math.nan], [math.nan, 1.0]], "NaN or infinite"),
        ([[math.inf, 0.0], [0.0, 1.0]], "NaN or infinite"),
        ([[1.0]], "do not fit"),
    ],
)
def test_a_broken_square_root_is_an_error(covariance, sentence):
    broken = Moments(torch.zeros(2).double(), torch.tensor(covariance).double())
    for pair in ((broken, GOOD), (GOOD, broken)):
        with pytest.raises(DataError, match=sentence):
            frechet_distance(*pair)


def test_moments_need_two_examples_in_rows():
    for wrong in (torch.ones(1, 3), torch.ones(3), torch.ones(0, 3)):
        with pytest.raises(DataError, match="at least two"):
            moments(wrong)


def test_few_examples_give_a_warning_and_a_note():
    with pytest.warns(UserWarning, match="20 examples are few for 10 features:"):
        assert "20 examples" in small_sample(moments(drawn(20, 10)))
    with pytest.warns(UserWarning, match="covariance is singular"):
        small_sample(moments(drawn(10, 10)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert small_sample(moments(drawn(50, 10))) is None
        assert small_sample(GOOD) is None


def test_the_extrapolated_distance_is_unbiased():
    """Examples drawn from the reference distribution have distance 0, apart from the small-sample bias."""
    exact = Moments(torch.zeros(24).double(), torch.eye(24).double())
    biased, extrapolated = [], []
    for seed in range(6):
        x = drawn(600, 24, seed=seed)
        biased.append(frechet_distance(moments(x), exact))
        extrapolated.append(extrapolated_distance(x, exact))
    assert min(biased) > 0.2
    assert abs(np.mean(extrapolated)) < np.mean(biased) / 5
    with pytest.raises(DataError, match="at least 20"):
        extrapolated_distance(drawn(19, 2), GOOD)


# -- running moments ---------------------------------------------------------------------------------------------------


def running(rows, parts):
    found = RunningMoments()
    for part in parts:
        found.add(part, rows[part])
    return found


def same(a, b):
    torch.testing.assert_close(a.mean, b.mean, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(a.covariance, b.covariance, rtol=1e-9, atol=1e-9 * float(b.covariance.abs().max()))


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_running_moments_equal_numpys_for_any_batches(shift):
    rows = drawn(101, 8, seed=9, shift=shift)
    expected = Moments(rows.mean(0), torch.from_numpy(np.cov(rows.numpy(), rowvar=False)))
    everyone = torch.arange(101)
    for parts in (everyone.split(1), everyone.split(7), everyone.flip(0).split(64), (everyone,)):
        same(running(rows, parts).moments(), expected)
    halves = running(rows, [everyone[::2]]), running(rows, everyone[1::2].split(5))
    for first, second in (halves, halves[::-1]):
        together = RunningMoments()
        together.merge(first.state())
        together.merge(second.state())
        same(together.moments(), expected)
        assert together.moments().examples == 101


@pytest.mark.parametrize("count", [40, 65, 400])
def test_the_distance_does_not_depend_on_batches_order_or_merges(count):
    """Relative tolerance 1e-9 with 64 features, also for fewer than 64 examples."""
    rows, reference = correlated(count, 64, seed=1).float() + 10, moments(correlated(200, 64, seed=2) + 10)
    everyone = torch.arange(count)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    merged = running(rows, [everyone[::2]])
    merged.merge(running(rows, everyone[1::2].split(5)).state())
    ways = [running(rows, parts) for parts in (everyone.split(1), everyone.split(64), shuffled.split(7))]
    distances = [frechet_distance(way.moments(), reference) for way in (*ways, merged)]
    assert distances == pytest.approx([distances[0]] * 4, rel=1e-9)


def test_a_repeated_example_counts_once():
    rows = drawn(6, 3)
    again = running(rows, [torch.tensor([0, 1, 1, 2]), torch.tensor([2, 3, 4, 5, 0])])
    same(again.moments(), moments(rows))
    with pytest.raises(DataError, match="share 1 example"):
        again.merge(running(rows, [torch.tensor([5])]).state())
    again.merge({})
    same(again.moments(), moments(rows))


def test_moments_of_fewer_than_two_examples_are_an_error():
    with pytest.raises(DataError, match="got 0"):
        RunningMoments().moments()
    assert RunningMoments().state() == {}


# -- the Inception score -----------------------------------------------------------------------------------------------


def test_the_inception_score_of_certain_and_uniform_predictions():
    sure = torch.eye(4).repeat(10, 1) * 200
    assert adm_inception_score(sure, split_size=40) == pytest.approx(4)
    assert diffusionbench_inception_score(torch.zeros(20, 5), splits=4) == pytest.approx(1)
    with pytest.raises(DataError, match="at least 10 images"):
        diffusionbench_inception_score(sure[:9])
    for score in (adm_inception_score, diffusionbench_inception_score, fidelity_inception_score):
        with pytest.raises(DataError, match="needs images, got none"):
            score(sure[:0])


# -- the kernel distance -----------------------------------------------------------------------------------------------


def kernel(a, b):
    return (float(a @ b) / len(a) + 1) ** 3


def by_hand(x, y):
    own = [np.mean([kernel(s[i], s[j]) for i, j in product(range(len(s)), repeat=2) if i != j]) for s in (x, y)]
    return own[0] + own[1] - 2 * np.mean([kernel(a, b) for a, b in product(x, y)])


def test_the_kernel_distance_equals_the_sum_over_pairs():
    x, y = drawn(7, 5, seed=1), drawn(11, 5, seed=2, shift=0.3)
    assert kid(x, y) == pytest.approx(by_hand(x.numpy(), y.numpy()), rel=1e-12)


def test_subsets_are_drawn_as_torch_fidelity_draws_them():
    x, y = drawn(20, 4, seed=3).numpy(), drawn(25, 4, seed=4).numpy()
    random, values = np.random.RandomState(2020), []
    for _ in range(3):
        ours = x[random.choice(20, 6, replace=False)]
        values.append(by_hand(ours, y[random.choice(25, 6, replace=False)]))
    found = subset_kid(torch.from_numpy(x), torch.from_numpy(y), subsets=3, size=6)
    assert found == pytest.approx((np.mean(values), np.std(values)), rel=1e-10)
    with pytest.raises(DataError, match="Subsets of 21"):
        subset_kid(torch.from_numpy(x), torch.from_numpy(y), size=21)


# -- neighbours --------------------------------------------------------------------------------------------------------


def whole(count, seed):
    """Points on a coarse grid, so that equal distances are frequent and exact."""
    return np.random.RandomState(seed).randint(0, 5, (count, 3)).astype(float)


def squared(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def reach(rows, k):
    return np.sort(squared(rows, rows) + np.diag([np.inf] * len(rows)), axis=1)[:, k - 1]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_equal_a_direct_count_with_ties(k):
    gen, real = whole(40, 0), whole(30, 1) + np.array([1, 0, 0])
    inside = squared(gen, real) <= reach(real, k)[None]
    covered = squared(real, gen) <= reach(gen, k)[None]
    found = precision_recall(torch.from_numpy(gen), torch.from_numpy(real), k=k)
    assert found == pytest.approx((inside.any(1).mean(), covered.any(1).mean()))
    strict = squared(gen, real) < reach(real, k)[None]
    found = density_coverage(torch.from_numpy(gen), torch.from_numpy(real), k=k)
    assert found == pytest.approx((strict.sum() / (k * len(gen)), strict.any(0).mean()))


def test_ties_and_blocks_do_not_change_neighbours(monkeypatch):
    rows = drawn(70, 16, seed=5).float()
    monkeypatch.setattr("nanogen_fidelity.distances.neighbours.BLOCK", 16)
    small = precision_recall(rows + 1000, rows + 1000), density_coverage(rows * 2, rows)
    monkeypatch.undo()
    assert small[0] == (1.0, 1.0)
    assert small[1] == density_coverage(rows * 2, rows)


def test_neighbours_need_enough_examples():
    with pytest.raises(DataError, match="at least 4 examples"):
        precision_recall(drawn(3, 2), drawn(9, 2))


# -- sliced distances --------------------------------------------------------------------------------------------------


def test_mind_cuts_the_larger_set_before_it_draws_directions():
    x, y = drawn(9, 4, seed=6).float(), drawn(6, 4, seed=7).float()
    generator = torch.Generator().manual_seed(2020)
    kept = torch.randperm(9, generator=generator)[:6]
    u = torch.nn.functional.normalize(torch.randn(1000, 4, generator=generator), dim=1)
    gaps = np.sort((x[kept] @ u.T).numpy(), axis=0) - np.sort((y @ u.T).numpy(), axis=0)
    assert mind(x, y) == mind(y, x) == pytest.approx(3 * 4 * float((gaps**2).mean()), rel=1e-6)


def test_mind_of_a_shift_is_about_three_times_its_square():
    x = drawn(50, 3, seed=8)
    assert mind(x, x + torch.tensor([2.0, 0, 0])) == pytest.approx(12, rel=0.05)
    with pytest.raises(DataError, match="needs generated and real examples"):
        mind(x[:0], x)


# -- pairs of images ---------------------------------------------------------------------------------------------------


def pictures(seed, side=24):
    return torch.randint(0, 256, (3, 3, side, side + 5), generator=torch.Generator().manual_seed(seed)).byte()


def test_ssim_is_that_of_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.image")
    a = unit_range(pictures(1))
    b = (a + 0.2 * unit_range(pictures(2))).clamp(0, 1)
    expected = functional.structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(a, b), expected, rtol=1e-9, atol=1e-9)


def test_ssim_of_constant_images_follows_the_equation():
    """Without variance, SSIM is (2 a b + c) / (a^2 + b^2 + c)."""
    a, b = torch.full((1, 3, 16, 16), 0.25), torch.full((1, 3, 16, 16), 0.75)
    assert ssim(a, b).item() == pytest.approx((2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4), rel=1e-6)
    assert ssim(a, a).item() == pytest.approx(1)


def test_psnr_follows_the_equation_and_has_a_ceiling():
    a, b = unit_range(pictures(3)), unit_range(pictures(4))
    expected = [-10 * math.log10(((x - y) ** 2).mean()) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert psnr(a, b).tolist() == pytest.approx(expected)
    assert psnr(a, a).tolist() == [100.0] * 3


def test_the_published_range_leaves_dark_batches_as_they_are():
    dark = torch.ones(1, 3, 4, 4, dtype=torch.uint8)
    assert published_unit_range(dark).unique().item() == 1
    assert published_unit_range(dark * 2).unique().item() == pytest.approx(2 / 255)


@pytest.mark.parametrize("shapes", [((1, 3, 8, 8), (1, 3, 8, 9)), ((3, 8, 8), (3, 8, 8)), ((1, 3, 5, 8), (1, 3, 5, 8))])
def test_images_that_are_no_pairs_or_too_small_are_an_error(shapes):
    with pytest.raises(DataError):
        ssim(*(torch.zeros(shape) for shape in shapes))
