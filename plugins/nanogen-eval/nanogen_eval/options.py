"""How an evaluation is done. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen, validators

from nanogen_core.validators import BILLION, at_least, batch, between, inside, sampling_steps


@frozen(kw_only=True)
class Search:
    """A guidance scale that was looked for: the best of `grid` by the score `criterion` over `count` samples of
    `seed`, which is none of those that the model is judged by. `scores` is what was found, in the grid's order."""

    grid: tuple[float, ...]
    criterion: str
    seed: int
    count: int
    scores: tuple[float, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """What of it a score depends on."""
        return {"grid": list(self.grid), "criterion": self.criterion, "seed": self.seed, "count": self.count}


@frozen(kw_only=True)
class Sampling:
    """How samples are made; None is what the pipeline's configuration says."""

    steps: int | None = field(default=None, validator=validators.optional(sampling_steps))
    guidance: float | Mapping[str, float] | None = None
    rounding: str = "round"  # one of `images.RULES`
    search: Search | None = None


@frozen(kw_only=True)
class EvalOptions:
    """How the work is done: no score depends on it."""

    batch_size: int = field(default=64, validator=batch)
    save_every: float = field(default=60.0, validator=between(0, BILLION))  # seconds between two saved states


@frozen(kw_only=True)
class BootstrapConfig:
    """Bootstrap intervals: `draws` samples of the units (0: none), at the `level`."""

    # None: what the metric asks for in `interval_draws`, or 1000
    draws: int | None = field(default=None, validator=validators.optional(at_least(0, 1_000_000)))
    level: float = field(default=0.95, validator=inside)
