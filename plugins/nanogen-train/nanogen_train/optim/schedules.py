"""Learning-rate schedules. The factor depends only on the step, so resuming needs no other state."""

from __future__ import annotations

import math

from nanogen_train.optim.settings import ConstantConfig, ConstantLinearConfig, CosineConfig


class Constant:
    """Factor 1 after the warm-up."""

    def __init__(self, config: ConstantConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate at `step`, counted from 0."""
        return _warmup(step, self.config.warmup_steps)


class ConstantLinear:
    """Factor 1 after the warm-up until `constant_steps`, then linear to `final` at `end_step`, then constant."""

    def __init__(self, config: ConstantLinearConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate at `step`, counted from 0."""
        c = self.config
        progress = _progress(step - c.constant_steps, c.end_step - c.constant_steps)
        return _warmup(step, c.warmup_steps) * (1 - (1 - c.final) * progress)


class Cosine:
    """Cosine schedule (Loshchilov and Hutter, arXiv 1608.03983, without restarts).

    The factor is `final + (1 - final) (1 + cos(pi x)) / 2`, with x from 0 at the end of the warm-up to 1 at `end_step`,
    and `final` after that.
    """

    def __init__(self, config: CosineConfig):
        self.config = config

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate at `step`, counted from 0."""
        c = self.config
        progress = _progress(step - c.warmup_steps, c.end_step - c.warmup_steps)
        return _warmup(step, c.warmup_steps) * (c.final + (1 - c.final) * (1 + math.cos(math.pi * progress)) / 2)


def _warmup(step: int, warmup_steps: int) -> float:
    """Return the warm-up factor, from 1 / warmup_steps at step 0 to 1."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def _progress(steps: int, of: int) -> float:
    """Return the completed share of a span, in [0, 1]."""
    return min(1.0, max(0.0, steps / max(1, of)))
