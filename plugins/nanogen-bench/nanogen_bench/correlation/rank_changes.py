"""Discordant pairs: two models that two columns rank in opposite order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from nanogen_bench.correlation.coefficients import Floats
from nanogen_bench.correlation.results import DiscordantPair, RankChanges

SHOWN = 5


def rank_changes(models: Sequence[str], x: Floats, y: Floats, signs: tuple[int, int]) -> RankChanges:
    """Count the discordant pairs, and list up to 5 with the largest rank differences. Pairs with a tie are ignored.

    A pair has two rank differences, by x and by y. The smaller one determines the order of the list.

    Args:
        models: Names of the models.
        x: Values of the first column [n].
        y: Values of the second column [n].
        signs: A sign for each column: +1 if higher is better, -1 if lower is better.
    """
    up_x, up_y = signs[0] * x, signs[1] * y
    apart_x, apart_y = (np.subtract.outer(rankdata(up), rankdata(up)) for up in (up_x, up_y))  # > 0: row is better
    both = np.triu(apart_x * apart_y != 0)
    better_x, better_y = np.nonzero((apart_x > 0) & (apart_y < 0))  # each discordant pair once
    width = np.minimum(apart_x[better_x, better_y], -apart_y[better_x, better_y])
    order = np.lexsort((better_y, better_x, -width))[:SHOWN]
    pairs, discordant = int(both.sum()), len(better_x)
    return RankChanges(
        pairs=pairs,
        discordant=discordant,
        share=discordant / pairs if pairs else float("nan"),
        widest=tuple(
            DiscordantPair(
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
