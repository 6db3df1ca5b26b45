"""Bootstrap intervals of scores (Efron and Tibshirani, 1993).

A draw resamples units with replacement. Units are images, or prompts if several images belong to one prompt; all images
of a prompt are drawn together. Draw i uses the same units for every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from nanogen_core.randomness import key
from nanogen_eval.protocols import Metric, Resampled
from nanogen_eval.score import Interval

DRAWS = 1000
MAX_BIAS = 1.0  # largest |z0| for BCa; the draws of a Fréchet distance are usually more biased
_NORMAL = NormalDist()

Tick = Callable[[], None]  # called after every resampling, for a progress bar


class Resamples(NamedTuple):
    """Values of a score over resampled units."""

    units: int
    draws: Tensor  # [draws] float64, bootstrap values
    left_out: Tensor | None  # [units] float64, jackknife values; None if there are more units than draws


def resample(metric: Metric, *, draws: int | None, tick: Tick = lambda: None) -> dict[str, Resamples]:
    """Resample the scores of a metric.

    Args:
        metric: The metric, updated with all images.
        draws: Number of bootstrap draws. None for the metric's `interval_draws`, or 1000.
        tick: Called after each resampling.

    Returns:
        Resamples by score name. Empty if the metric is not `Resampled`, has fewer than two units, or `draws` is 0.
        Jackknife values are included if there are no more units than draws.
    """
    number = getattr(metric, "interval_draws", DRAWS) if draws is None else draws
    if not isinstance(metric, Resampled) or metric.units < 2 or not number:
        return {}
    units = metric.units
    drawn = [_ticked(metric.resampled(_drawn(units, draw)), tick) for draw in range(number)]
    without = [_ticked(metric.resampled(_without(units, u)), tick) for u in range(units)] if units <= number else []
    names = metric.resampled(torch.arange(units))
    return {name: Resamples(units, _column(drawn, name), _column(without, name) if without else None) for name in names}


def expected(metric: Metric, draws: int | None) -> int:
    """Return how often `resample` calls `tick`."""
    number = getattr(metric, "interval_draws", DRAWS) if draws is None else draws
    units = metric.units if isinstance(metric, Resampled) else 0
    return 0 if units < 2 or not number else number + (units if units <= number else 0)


def mean_of(resamples: Sequence[Resamples]) -> Resamples:
    """Average the resamples of several seeds, draw by draw."""
    left = [r.left_out for r in resamples if r.left_out is not None]
    draws = torch.stack([r.draws for r in resamples]).mean(dim=0)
    return Resamples(resamples[0].units, draws, torch.stack(left).mean(dim=0) if len(left) == len(resamples) else None)


def interval(value: float, resamples: Resamples, level: float) -> Interval | None:
    """Compute the interval of a score, with the first of these methods whose condition holds.

    - "percentile": all draws are equal.
    - "centred percentile": the bias correction |z0| of BCa exceeds 1.
    - "BCa" (Efron, 1987): there are jackknife values, and all are finite.
    - "percentile": in all other cases.

    Repeated examples increase a Fréchet distance, so all its draws may lie above the score. "centred percentile" shifts
    the draws so that their mean is the score. Such an interval is valid only for scores at the same number of images.

    Args:
        value: The score over all units.
        resamples: Values of the score over resampled units. Draws without a finite value are ignored.
        level: Confidence level in (0, 1).

    Returns:
        The interval; None if fewer than two draws have a finite value.
    """
    draws = resamples.draws[resamples.draws.isfinite()].sort().values
    if len(draws) < 2:
        return None
    tails = [(1 - level) / 2, (1 + level) / 2]
    bias = _bias(draws, value)
    left_out = resamples.left_out
    if draws[0] == draws[-1]:
        method = "percentile"
    elif abs(bias) > MAX_BIAS:
        method, draws = "centred percentile", draws + (value - draws.mean())
    elif left_out is not None and bool(left_out.isfinite().all()):
        method, tails = "BCa", [_bca(tail, bias, _acceleration(left_out)) for tail in tails]
    else:
        method = "percentile"
    low, high = torch.quantile(draws, torch.tensor(tails, dtype=draws.dtype)).tolist()
    return Interval(low=low, high=high, level=level, method=method, units=resamples.units, draws=len(draws))


def _bias(draws: Tensor, value: float) -> float:
    """Return the bias correction z0 of BCa: normal quantile of the share of draws below the score. Ties count half."""
    below = float((draws < value).double().mean() + (draws == value).double().mean() / 2)
    edge = 0.5 / len(draws)
    return _NORMAL.inv_cdf(min(max(below, edge), 1 - edge))


def _acceleration(left_out: Tensor) -> float:
    """Acceleration a of BCa: skewness of the jackknife values, divided by 6."""
    deviation = left_out.mean() - left_out
    scale = float(deviation.square().sum()) ** 1.5
    return float((deviation**3).sum()) / (6 * scale) if scale else 0.0


def _bca(tail: float, bias: float, acceleration: float) -> float:
    """Quantile level of BCa for the level `tail`."""
    z = bias + _NORMAL.inv_cdf(tail)
    return _NORMAL.cdf(bias + z / (1 - acceleration * z))


def _drawn(units: int, draw: int) -> Tensor:
    """Return the units of bootstrap draw `draw` [units]. They are the same in every evaluation."""
    return torch.randint(units, (units,), generator=torch.Generator().manual_seed(key("bootstrap", draw)))


def _without(units: int, unit: int) -> Tensor:
    every_unit = torch.arange(units)
    return every_unit[every_unit != unit]


def _ticked(scores: Mapping[str, float], tick: Tick) -> Mapping[str, float]:
    tick()
    return scores


def _column(scores: Sequence[Mapping[str, float]], name: str) -> Tensor:
    return torch.tensor([score.get(name, float("nan")) for score in scores], dtype=torch.float64)
