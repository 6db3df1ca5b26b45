"""Options of the diffusion stage. Loads no torch."""

from __future__ import annotations

from attrs import Attribute, field, frozen

from nanogen_core.validators import count, decay, unit

WIDEST = 12**-0.5  # sigma_rel of the plain mean of all steps


def _some_widths(_: object, __: Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if not value or len(set(value)) < len(value) or not all(0 < width <= WIDEST for width in value):
        raise ValueError(f"needs one or more different widths above 0, up to {WIDEST:.5f}, got {list(value)}")


@frozen(kw_only=True)
class SnapshotConfig:
    """Averages along power functions (EDM2, arXiv 2312.02696) of the widths `sigma_rel`, which are a share of the steps
    so far. They are written every `every` steps and at the last, in float32 and for good: `nanogen ema` makes averages
    of other widths of them. Two widths and 20 snapshots reach from 0.02 to 0.25."""

    sigma_rel: tuple[float, ...] = field(default=(0.05, 0.10), validator=_some_widths)
    every: int = field(default=5_000, validator=count)


@frozen(kw_only=True)
class DiffusionConfig:
    """`ema_decay` is each step's; `condition_dropout` is the chance that a sample is trained without its condition.
    `ema_snapshots` are further averages to be kept; by default none."""

    ema_decay: float = field(default=0.9995, validator=decay)
    condition_dropout: float = field(default=0.1, validator=unit)
    ema_snapshots: SnapshotConfig | None = None
