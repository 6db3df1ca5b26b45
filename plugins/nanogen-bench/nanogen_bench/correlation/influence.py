"""Leave-one-out analysis of Pearson's r, over models or groups of models."""

from __future__ import annotations

import numpy as np

from nanogen_bench.correlation.coefficients import Resampled
from nanogen_bench.correlation.groupings import Grouping
from nanogen_bench.correlation.results import LeaveOneOut, LeftOut

FEWEST_MODELS = 4  # for a correlation
SHOWN = 3  # number of most influential units


def leave_one_out(pearson: Resampled, units: Grouping, sign: int) -> LeaveOneOut | None:
    """Compute the agreement without each unit in turn.

    A unit is not left out if fewer than 4 models or a constant column would remain.

    Args:
        pearson: Pearson's r of the pair of columns.
        units: Models or groups of models.
        sign: +1 or -1. `sign * r` is the agreement.

    Returns:
        The analysis; None if no unit can be left out.
    """
    counts = 1 - units.members  # [units, n]
    remain = counts.sum(axis=1)
    agreement = np.full(len(counts), np.nan)
    enough = remain >= FEWEST_MODELS
    if enough.any():
        agreement[enough] = sign * pearson.counted(counts[enough])
    possible = np.flatnonzero(np.isfinite(agreement))
    if len(possible) == 0:
        return None
    kept = [group for index, group in enumerate(units.groups) if index not in possible]
    change = sign * pearson.estimate - agreement
    by_size = sorted(possible, key=lambda index: -abs(change[index]))
    error = _jackknife_error(agreement[possible])
    lowest, highest = int(np.nanargmin(agreement)), int(np.nanargmax(agreement))
    return LeaveOneOut(
        over=units.name,
        units=len(units.groups),
        low=float(agreement[lowest]),
        high=float(agreement[highest]),
        without_low=units.groups[lowest],
        without_high=units.groups[highest],
        n_low=int(remain[lowest]),
        n_high=int(remain[highest]),
        most_influential=tuple(
            LeftOut(
                what=units.groups[index],
                n=int(remain[index]),
                agreement=float(agreement[index]),
                change=float(change[index]),
                scaled=float(change[index] / error) if error > 0 else float("nan"),
            )
            for index in by_size[:SHOWN]
        ),
        reason=f"not left out: {', '.join(kept)}. Too few models or a constant column would remain" if kept else None,
    )


def _jackknife_error(without: np.ndarray) -> float:
    """Jackknife standard error: sqrt((g - 1) / g * sum of squared deviations) of g leave-one-out values."""
    size = len(without)
    return float(np.sqrt((size - 1) / size * np.square(without - without.mean()).sum()))
