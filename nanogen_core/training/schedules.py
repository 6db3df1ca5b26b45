"""Schedules of the learning rate: a factor for every step, so that a resumed run needs nothing but its step."""

from __future__ import annotations

from nanogen_core.training.optimizer_settings import ConstantLinearConfig


class ConstantLinear:
    """1 until `constant_steps`, then linear to `final` at `end_step`, and `final` from there on."""

    def __init__(self, config: ConstantLinearConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step` (from 0)."""
        c = self.config
        warm = min(1.0, (step + 1) / c.warmup_steps) if c.warmup_steps else 1.0
        done = (step - c.constant_steps) / max(1, c.end_step - c.constant_steps)
        return warm * (1 - (1 - c.final) * min(1.0, max(0.0, done)))
