"""Options of an evaluation. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen, validators

from nanogen_core.validators import BILLION, at_least, batch, between, inside, sampling_steps

#: Receives a description, the number of finished items and their total.
ProgressCallback = Callable[[str, int, int], None]


@frozen(kw_only=True)
class Search:
    """Result of a search for the guidance scale.

    Attributes:
        grid: Scales that were tried.
        criterion: Name of the score that was optimized.
        seed: Seed of the samples. It differs from the seeds of the evaluation.
        count: Number of samples per scale.
        scores: Score of each scale in `grid`.
    """

    grid: tuple[float, ...]
    criterion: str
    seed: int
    count: int
    scores: tuple[float, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the search that enter a score's fingerprint."""
        return {"grid": list(self.grid), "criterion": self.criterion, "seed": self.seed, "count": self.count}


@frozen(kw_only=True)
class Sampling:
    """Sampling options.

    Attributes:
        steps: Number of sampling steps; None for that of the pipeline's configuration.
        guidance: As in `Pipeline.generate`: the scale of the outermost guidance, or a mapping of guidance names to
            scales. An object, or the name of an installed guidance, replaces the configured guidances. An object states
            its options in the attribute `config`, an attrs instance. None: as configured.
        rounding: "round" or "truncate", a key of `nanogen_files.images.RULES`.
        tf32: Whether sampling uses TF32 on an NVIDIA GPU. Metrics never use it.
        search: The result of a guidance search; None without a search.
    """

    steps: int | None = field(default=None, validator=validators.optional(sampling_steps))
    guidance: Any = None  # `nanogen_core.pipeline.GuidanceChoice`, which imports torch
    rounding: str = "round"
    tf32: bool = True
    search: Search | None = None


@frozen(kw_only=True)
class EvalOptions:
    """Options that do not affect scores, except for float32 rounding."""

    batch_size: int = field(default=64, validator=batch)  # images per network call
    save_every: float = field(default=60.0, validator=between(0, BILLION))  # seconds between two saved states


@frozen(kw_only=True)
class BootstrapConfig:
    """Bootstrap intervals of scores."""

    # number of draws, 0 for no intervals; None uses the metric's `interval_draws`, or 1000
    draws: int | None = field(default=None, validator=validators.optional(at_least(0, 1_000_000)))
    level: float = field(default=0.95, validator=inside)  # confidence level
