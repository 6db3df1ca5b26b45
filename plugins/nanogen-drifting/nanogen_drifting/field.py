"""The drifting field and its loss (arXiv 2602.04770, sections 3.2 to 3.4, A.1 and A.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 1e-3  # least affinity of two samples, as in the authors' public code: distant samples still attract
LEAST = 1e-3  # least mean distance
EPS = 1e-8  # of squared distances and of the mean squared drift


class Group(NamedTuple):
    """Features of samples in N rows: one row for each condition, or for each condition and location.

    Only samples of the same row attract or repel each other. The generated samples are negatives too, with weight 1.
    """

    generated: Tensor  # [N, G, D]
    positives: Tensor  # [N, P, D]
    negatives: Tensor  # [N, U, D]
    positive_weights: Tensor  # [N, P]
    negative_weights: Tensor  # [N, U]


class Drift(NamedTuple):
    """The loss, and the mean size of the drift before its normalisation."""

    loss: Tensor  # []
    size: Tensor  # []


def drift_loss(group: Group, temperatures: Sequence[float]) -> Drift:
    """Return `mean (f / S - sg(f / S + sum_tau V_tau / theta_tau))^2` over the generated features f.

    - S scales the mean distance to sqrt(D). The mean is over the pairs of f_i and a target y_j, weighted by w_j.
    - With the kernel `k(x, y) = exp(-|x - y| / (S tau sqrt(D)))` and the softmax over j and over i,
      `a_ij = w_j max(0.001, sqrt(softmax_j(log k) softmax_i(log k)))`. The distance of a sample to itself is infinite,
      so that its affinity is 0.001, as in the public code.
    - `V_i = sum_{j in N} a_ij sum_{j in P} a_ij y_j - sum_{j in P} a_ij sum_{j in N} a_ij y_j`, with positives P and
      negatives N. It changes sign if P and N are exchanged, so it vanishes where both have the same distribution.
    - theta_tau scales the mean square of V_tau to 1. As for S, the mean is over all samples of the call.

    The loss changes little during training, because V is normalised. `Drift.size` is the mean of theta_tau.
    """
    generated = group.generated.float()
    with torch.no_grad(), torch.autocast(generated.device.type, enabled=False):
        unit, distances, targets, weights = _normalised(group)
        start = generated.detach() / unit
        drift, sizes = torch.zeros_like(start), []
        for temperature in temperatures:
            field = drifting_field(distances / temperature, targets / unit, weights, positives=_positives(group))
            theta = field.square().mean().clamp(min=EPS).sqrt()
            drift = drift + field / theta
            sizes.append(theta)
        goal = start + drift
    return Drift((generated / unit - goal).square().mean(), torch.stack(sizes).mean())


def drifting_field(distances: Tensor, targets: Tensor, weights: Tensor, *, positives: int) -> Tensor:
    """Return the field V [N, G, D] at the generated samples.

    Args:
        distances: Distances [N, G, M], divided by the temperature. Infinite between a sample and itself.
        targets: Targets [N, M, D]: negatives, then positives.
        weights: Weights [N, M] of the targets.
        positives: Number of positives among the targets.
    """
    affinity = (-distances).softmax(dim=2) * (-distances).softmax(dim=1)
    affinity = affinity.sqrt().clamp(min=FLOOR) * weights[:, None]
    first = targets.shape[1] - positives
    repelling, attracting = affinity[..., :first], affinity[..., first:]
    attraction = repelling.sum(dim=2, keepdim=True) * (attracting @ targets[:, first:])
    repulsion = attracting.sum(dim=2, keepdim=True) * (repelling @ targets[:, :first])
    return attraction - repulsion


def _positives(group: Group) -> int:
    return group.positives.shape[1]


def _normalised(group: Group) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return S [], distances [N, G, M] with mean 1, targets [N, M, D] and weights [N, M]."""
    generated = group.generated.detach().float()
    targets = torch.cat([generated, group.negatives.float(), group.positives.float()], dim=1)
    own = torch.ones_like(generated[..., 0])
    weights = torch.cat([own, group.negative_weights.float(), group.positive_weights.float()], dim=1)
    distances = _distances(generated, targets)
    mean = (distances * weights[:, None]).mean() / weights.mean()
    unit = (mean / generated.shape[2] ** 0.5).clamp(min=LEAST)
    distances = distances / mean.clamp(min=LEAST)
    count = generated.shape[1]
    itself = torch.eye(count, targets.shape[1], dtype=torch.bool, device=distances.device)
    return unit, distances.masked_fill(itself, torch.inf), targets, weights


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the Euclidean distances [N, G, M] of x [N, G, D] and y [N, M, D]."""
    squares = x.square().sum(dim=2)[:, :, None] + y.square().sum(dim=2)[:, None] - 2 * x @ y.mT
    return squares.clamp(min=EPS).sqrt()
