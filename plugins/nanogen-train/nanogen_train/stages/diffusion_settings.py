"""Options of the diffusion stage. Does not import torch."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from nanogen_core.validators import count, decay, unit

WIDEST = 12**-0.5  # sigma_rel of the mean over all steps


def _valid_widths(_: object, __: Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if not value or len(set(value)) < len(value) or not all(0 < width <= WIDEST for width in value):
        raise ValueError(
            f"must be a non-empty list of distinct widths, each above 0 and at most {WIDEST:.5f}, got {list(value)}"
        )


@frozen(kw_only=True)
class SnapshotConfig:
    """Snapshots of power-function EMAs (EDM2, arXiv 2312.02696). `nanogen ema` computes EMAs of other widths from them.

    With 20 snapshots of each default width, the command can compute EMAs of the widths from 0.02 to 0.26.

    Args:
        sigma_rel: Widths of the saved EMAs: standard deviation of an EMA's profile (its weights of past steps), divided
            by the steps so far.
        every: Period of snapshots in steps; the last step is always saved. Snapshots are float32 and never deleted.
    """

    sigma_rel: tuple[float, ...] = field(default=(0.05, 0.10), validator=_valid_widths)
    every: int = field(default=5_000, validator=count)


@frozen(kw_only=True)
class DiffusionConfig:
    """Options of the diffusion stage.

    Args:
        ema_decay: EMA decay per step.
        condition_dropout: Probability that a sample is trained without its condition.
        ema_snapshots: Additional EMAs to save; none by default.
    """

    ema_decay: float = field(default=0.9995, validator=decay)
    condition_dropout: float = field(default=0.1, validator=unit)
    ema_snapshots: SnapshotConfig | None = None
