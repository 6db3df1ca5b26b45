"""Bootstrap intervals: how far a score would move had other units been drawn (Efron and Tibshirani, 1993).

The units are images for a Fréchet distance and prompts for a score of prompts. All the answers to a unit go together,
of all seeds too: a draw takes the same units in every seed.
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
LEANING = 1.0  # |z0| from which on the draws lie beside the score, as those of a Fréchet distance do
_NORMAL = NormalDist()

Tick = Callable[[], None]  # called after every resampling, for a progress bar


class Resamples(NamedTuple):
    """What a score was over resampled units."""

    units: int
    draws: Tensor  # [R] float64
    left_out: Tensor | None  # [units] float64, the score without each unit in turn; None where that is not cheap


def resample(metric: Metric, *, draws: int | None, tick: Tick = lambda: None) -> dict[str, Resamples]:
    """Resamples of each of a metric's scores; empty where it cannot be resampled, or `draws` is 0.

    `draws` None is what the metric says in `interval_draws`, where a draw is expensive, or 1000. Leaving out each unit
    in turn is called cheap where it takes no more resamplings than the draws do.
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
    """How many resamplings `resample` does."""
    number = getattr(metric, "interval_draws", DRAWS) if draws is None else draws
    units = metric.units if isinstance(metric, Resampled) else 0
    return 0 if units < 2 or not number else number + (units if units <= number else 0)


def mean_of(resamples: Sequence[Resamples]) -> Resamples:
    """The resamples of a mean over seeds."""
    left = [r.left_out for r in resamples if r.left_out is not None]
    draws = torch.stack([r.draws for r in resamples]).mean(dim=0)
    return Resamples(resamples[0].units, draws, torch.stack(left).mean(dim=0) if len(left) == len(resamples) else None)


def interval(value: float, resamples: Resamples, level: float) -> Interval | None:
    """The interval of a score from its resamples; None where hardly any of them has the score.

    BCa (Efron, 1987) where the units could be left out in turn, else the percentile interval. A Fréchet distance grows
    when examples repeat, so that all draws may lie above it and neither would hold the score: then the draws are moved
    so that their mean is the score ("centred percentile", an interval for scores at this very n).
    """
    draws = resamples.draws[resamples.draws.isfinite()].sort().values
    if len(draws) < 2:
        return None
    tails = [(1 - level) / 2, (1 + level) / 2]
    lean = _lean(draws, value)
    left_out = resamples.left_out
    if draws[0] == draws[-1]:
        method = "percentile"
    elif abs(lean) > LEANING:
        method, draws = "centred percentile", draws + (value - draws.mean())
    elif left_out is not None and bool(left_out.isfinite().all()):
        method, tails = "BCa", [_bca(tail, lean, _acceleration(left_out)) for tail in tails]
    else:
        method = "percentile"
    low, high = torch.quantile(draws, torch.tensor(tails, dtype=draws.dtype)).tolist()
    return Interval(low=low, high=high, level=level, method=method, units=resamples.units, draws=len(draws))


def _lean(draws: Tensor, value: float) -> float:
    """z0: where the score stands among the draws, 0 in the middle; ties count half."""
    below = float((draws < value).double().mean() + (draws == value).double().mean() / 2)
    edge = 0.5 / len(draws)
    return _NORMAL.inv_cdf(min(max(below, edge), 1 - edge))


def _acceleration(left_out: Tensor) -> float:
    """a: the skewness of what each unit contributes, over 6."""
    apart = left_out.mean() - left_out
    scale = float(apart.square().sum()) ** 1.5
    return float((apart**3).sum()) / (6 * scale) if scale else 0.0


def _bca(tail: float, lean: float, acceleration: float) -> float:
    z = lean + _NORMAL.inv_cdf(tail)
    return _NORMAL.cdf(lean + z / (1 - acceleration * z))


def _drawn(units: int, draw: int) -> Tensor:
    """Units [units] with replacement: the same in every evaluation, for draw number `draw`."""
    return torch.randint(units, (units,), generator=torch.Generator().manual_seed(key("bootstrap", draw)))


def _without(units: int, unit: int) -> Tensor:
    everyone = torch.arange(units)
    return everyone[everyone != unit]


def _ticked(scores: Mapping[str, float], tick: Tick) -> Mapping[str, float]:
    tick()
    return scores


def _column(scores: Sequence[Mapping[str, float]], name: str) -> Tensor:
    return torch.tensor([score.get(name, float("nan")) for score in scores], dtype=torch.float64)
