"""Pairs of models that change places between two columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from nanogen_bench.correlation.coefficients import Floats
from nanogen_bench.correlation.results import Flip, RankChanges

SHOWN = 5


def rank_changes(models: Sequence[str], x: Floats, y: Floats, signs: tuple[int, int]) -> RankChanges:
    """Columns [n] and which way each points (+1: higher is better). A pair that a column ties is no pair."""
    up_x, up_y = signs[0] * x, signs[1] * y
    apart_x, apart_y = (np.subtract.outer(rankdata(up), rankdata(up)) for up in (up_x, up_y))  # > 0: row is better
    both = np.triu(apart_x * apart_y != 0)
    better_x, better_y = np.nonzero((apart_x > 0) & (apart_y < 0))  # each flipped pair once
    width = np.minimum(apart_x[better_x, better_y], -apart_y[better_x, better_y])
    order = np.lexsort((better_y, better_x, -width))[:SHOWN]
    pairs, flipped = int(both.sum()), len(better_x)
    return RankChanges(
        pairs=pairs,
        flipped=flipped,
        share=flipped / pairs if pairs else float("nan"),
        widest=tuple(
            Flip(
                better_by_x=models[i],
                better_by_y=models[j],
                x=(float(x[i]), float(x[j])),
                y=(float(y[i]), float(y[j])),
                ranks_x=float(apart_x[i, j]),
                ranks_y=float(-apart_y[i, j]),
            )
            for i, j in zip(better_x[order], better_y[order], strict=True)
        ),
    )
