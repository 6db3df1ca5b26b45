"""The drifting field against explicit loops over samples, and its properties."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nanogen_core.randomness import KeyedRNG
from nanogen_drifting.features import in_rows, multi_scale, of_latents
from nanogen_drifting.field import FLOOR, Group, drift_loss, drifting_field

TEMPERATURES = (0.02, 0.05, 0.2)
Vector = list[float]


def group(rows: int = 2, generated: int = 4, positives: int = 5, negatives: int = 3, width: int = 3) -> Group:
    rng = KeyedRNG(0, range(rows))
    return Group(
        rng.normal("generated", (generated, width)),
        1 + rng.normal("positives", (positives, width)),
        0.5 * rng.normal("negatives", (negatives, width)),
        rng.uniform("positive weights", (positives,)) + 0.1,
        2 * rng.uniform("negative weights", (negatives,)),
    )


# -- the same by loops over samples, in Python's double precision ---------------------------------------------------


def distance(x: Vector, y: Vector) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def looped_loss(given: Group, temperatures: tuple[float, ...]) -> float:
    """Return the value of the loss, which is the mean square of the normalised drift."""
    samples = given.generated.double().tolist()
    others = [[*x, *n, *p] for x, n, p in zip(samples, given.negatives.tolist(), given.positives.tolist(), strict=True)]
    negative, positive = given.negative_weights.tolist(), given.positive_weights.tolist()
    weights = [[*[1.0] * len(samples[0]), *n, *p] for n, p in zip(negative, positive, strict=True)]
    split = len(samples[0]) + given.negatives.shape[1]  # the positives come after the negatives
    width = len(samples[0][0])
    weighted, pairs, total_weight, targets = 0.0, 0, 0.0, 0
    for xs, ys, ws in zip(samples, others, weights, strict=True):
        for x in xs:
            for y, w in zip(ys, ws, strict=True):
                weighted, pairs = weighted + w * distance(x, y), pairs + 1
        total_weight, targets = total_weight + sum(ws), targets + len(ws)
    mean = (weighted / pairs) / (total_weight / targets)
    unit = mean / math.sqrt(width)
    drift = [[[0.0] * width for _ in xs] for xs in samples]
    for temperature in temperatures:
        found = []
        for xs, ys, ws in zip(samples, others, weights, strict=True):
            kernel = [
                [0.0 if i == j else math.exp(-distance(x, y) / mean / temperature) for j, y in enumerate(ys)]
                for i, x in enumerate(xs)
            ]
            by_row = [sum(row) for row in kernel]
            by_column = [sum(row[j] for row in kernel) for j in range(len(ys))]
            forces = []
            for i in range(len(xs)):
                affinity = [
                    ws[j] * max(FLOOR, math.sqrt(kernel[i][j] / by_row[i] * kernel[i][j] / by_column[j]))
                    for j in range(len(ys))
                ]
                repelled, attracted = sum(affinity[:split]), sum(affinity[split:])
                force = [0.0] * width
                for j, y in enumerate(ys):
                    signed = repelled * affinity[j] if j >= split else -attracted * affinity[j]
                    for axis in range(width):
                        force[axis] += signed * y[axis] / unit
                forces.append(force)
            found.append(forces)
        squares = [value**2 for forces in found for force in forces for value in force]
        theta = math.sqrt(sum(squares) / len(squares))
        for row, forces in enumerate(found):
            for i, force in enumerate(forces):
                for axis in range(width):
                    drift[row][i][axis] += force[axis] / theta
    squares = [value**2 for xs in drift for x in xs for value in x]
    return sum(squares) / len(squares)


@pytest.mark.parametrize("temperatures", [(0.2,), (1.0,), TEMPERATURES])
def test_the_loss_agrees_with_loops_over_samples(temperatures: tuple[float, ...]) -> None:
    given = group()
    assert drift_loss(given, temperatures).loss.item() == pytest.approx(looped_loss(given, temperatures), rel=1e-4)


def test_the_gradient_is_that_of_the_distance_to_the_drifted_samples() -> None:
    """The gradient is `-2 V / (theta S n)` for n values."""
    given = group(rows=1)
    given = given._replace(generated=given.generated.requires_grad_())
    loss, _ = drift_loss(given, (0.2,))
    (gradient,) = torch.autograd.grad(loss, given.generated)
    forces = gradient.numel() / 2 * gradient  # -V / (theta S)
    size = forces.square().mean().sqrt().item()
    distances = torch.cdist(given.generated.detach(), torch.cat([given.generated.detach(), *given[2:0:-1]], dim=1))
    weights = torch.cat([torch.ones(1, 4), given.negative_weights, given.positive_weights], dim=1)
    unit = (distances * weights[:, None]).mean() / weights.mean() / 3**0.5
    assert size == pytest.approx(1 / unit.item(), rel=1e-4)  # the mean square of V / theta is 1
    towards = (given.positives.mean(dim=1, keepdim=True) - given.generated).detach()
    assert (-gradient * towards).sum() > 0


# -- properties ------------------------------------------------------------------------------------------------------


def field_of(x: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    targets = torch.cat([negatives, positives], dim=1)
    weights = torch.ones(targets.shape[:2])
    return drifting_field(torch.cdist(x, targets) / 0.5, targets, weights, positives=positives.shape[1])


def test_the_field_changes_sign_if_positives_and_negatives_are_exchanged() -> None:
    given = group(positives=3)
    forth = field_of(given.generated, given.positives, given.negatives)
    back = field_of(given.generated, given.negatives, given.positives)
    assert forth.abs().max() > 0.01
    torch.testing.assert_close(forth, -back)


def test_the_field_does_not_depend_on_the_origin() -> None:
    given = group()
    shifted = [part + 3 for part in given[:3]]
    torch.testing.assert_close(field_of(*given[:3]), field_of(*shifted), rtol=1e-3, atol=1e-5)


def test_the_loss_does_not_depend_on_the_scale_of_the_features() -> None:
    given = group()
    scaled = Group(*(1000 * part for part in given[:3]), *given[3:])
    assert drift_loss(scaled, TEMPERATURES).loss.item() == pytest.approx(drift_loss(given, TEMPERATURES).loss.item())


def test_negatives_without_weight_exert_no_force() -> None:
    """They count in the softmax over the targets, so they are far away here."""
    given = group()
    far = given._replace(negatives=given.negatives + 1000, negative_weights=torch.zeros(2, 3))
    without = given._replace(negatives=given.negatives[:, :0], negative_weights=given.negative_weights[:, :0])
    assert drift_loss(far, (0.2,)).loss.item() == pytest.approx(drift_loss(without, (0.2,)).loss.item(), rel=0.1)


def test_samples_that_follow_the_field_get_the_distribution_of_the_data() -> None:
    """Points that start at one place far away get the mean and about the spread of the data.

    Their spread is larger, because a sample is no negative of itself: by a third for 64 points.
    """
    rng = KeyedRNG(1, [0])
    data = rng.normal("data", (64, 2)) * torch.tensor([1.0, 0.3])
    points = (0.01 * rng.normal("start", (64, 2)) + torch.tensor([3.0, -3.0])).requires_grad_()
    optimizer = torch.optim.Adam([points], lr=0.05)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 300)
    ones = torch.ones(1, 64)
    for _ in range(300):
        loss, _ = drift_loss(Group(points, data, data[:, :0], ones, ones[:, :0]), TEMPERATURES)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()
    found = points.detach()[0]
    torch.testing.assert_close(found.mean(dim=0), data[0].mean(dim=0), rtol=0, atol=0.1)
    ratio = found.std(dim=0) / data[0].std(dim=0)
    assert ratio.min() > 1
    assert ratio.max() < 1.6


# -- features --------------------------------------------------------------------------------------------------------


def test_features_at_several_scales() -> None:
    maps = KeyedRNG(0, range(2)).normal("maps", (3, 8, 8))
    found = multi_scale("f", maps)
    counts = {name: vectors.shape[1] for name, vectors in found.items()}
    assert counts == {"f": 64, "f.mean": 1, "f.std": 1, "f.mean2": 16, "f.std2": 16, "f.mean4": 4, "f.std4": 4}
    assert all(vectors.shape[::2] == (2, 3) for vectors in found.values())
    torch.testing.assert_close(found["f"][1, 8 * 2 + 5], maps[1, :, 2, 5])
    corner = maps[1, :, 4:8, 0:4].flatten(1)  # row 1, column 0 of the squares of 4 x 4
    torch.testing.assert_close(found["f.mean4"][1, 2], corner.mean(dim=1))
    torch.testing.assert_close(found["f.std4"][1, 2], corner.std(dim=1, correction=0), rtol=1e-4, atol=1e-5)


def test_maps_that_are_too_small_are_not_divided() -> None:
    assert set(multi_scale("f", torch.randn(2, 3, 2, 2))) == {"f", "f.mean", "f.std"}
    whole = of_latents(torch.randn(2, 3, 2, 2))["latent.whole"]
    assert whole.shape == (2, 1, 12)


def test_rows_of_features_are_locations() -> None:
    vectors = torch.arange(2 * 3 * 4).reshape(6, 4, 1)  # two conditions with three samples, four locations
    rows = in_rows(vectors, 2)
    assert rows.shape == (8, 3, 1)
    assert rows[1 * 4 + 2, :, 0].tolist() == [vectors[3 + sample, 2, 0].item() for sample in range(3)]
